//! GLA of DLSN: hash codes, the stable sort, chunks, and attention within them.

use super::conv;
use crate::network::GlobalLearnableAttention;
use crate::network::dlsn::MAX_BUCKETS;
use crate::tensor::Tensor;

/// The bucket of every token in every round, `[rounds][tokens]`.
type HashCodes = Vec<Vec<u8>>;

/// Buckets for that many tokens: even, 2 to 128.
fn buckets(tokens: usize, chunk: usize) -> usize {
    let q = tokens / chunk;
    (q + q % 2).clamp(2, MAX_BUCKETS)
}

/// Per round and token the lowest of the buckets whose rotated value is largest. Sums run over the channels in order, in
/// f32: every exact backend does the same, so that all agree on near ties.
fn hash_codes(p: &GlobalLearnableAttention, embed: &Tensor) -> HashCodes {
    let (tokens, channels) = (embed.plane_len(), embed.channels);
    let count = buckets(tokens, p.chunk);
    let code = |round: usize, token: usize| {
        let (mut best, mut code) = (f32::NEG_INFINITY, 0);
        for bucket in 0..count {
            let value = (0..channels).fold(0.0, |sum, e| {
                let rotation = p.rotations[(round * channels + e) * MAX_BUCKETS + bucket];
                embed.data[e * tokens + token].mul_add(rotation, sum)
            });
            if value > best {
                (best, code) = (value, bucket as u8);
            }
        }
        code
    };
    (0..p.rounds).map(|round| (0..tokens).map(|token| code(round, token)).collect()).collect()
}

/// Tokens in the order of their codes, ties by place, and the last few once more so that chunks are full.
pub fn chunk_order(codes: &[u8], chunk: usize) -> Vec<usize> {
    let tokens = codes.len();
    let mut order: Vec<usize> = (0..tokens).collect();
    order.sort_by_key(|&token| codes[token]);
    let pad = (chunk - tokens % chunk) % chunk;
    order.extend_from_within(tokens - pad..);
    order
}

/// GLA with its skip.
pub fn global_learnable_attention(p: &GlobalLearnableAttention, x: &Tensor) -> Tensor {
    let embed = conv(&p.matching, x);
    let values = conv(&p.assembly, x);
    let places = conv(&p.fc2, &conv(&p.fc0, &conv(&p.assembly_fc, x)));
    let codes = hash_codes(p, &embed);
    let rounds: Vec<Round> = codes.iter().map(|c| attend(p.chunk, &embed, &values, &places, c)).collect();
    let tokens = x.plane_len();
    let mut out = x.clone();
    for token in 0..tokens {
        let largest = rounds.iter().map(|r| r.weight[token]).fold(f64::NEG_INFINITY, f64::max);
        let total: f64 = rounds.iter().map(|r| (r.weight[token] - largest).exp()).sum();
        for c in 0..x.channels {
            let mean: f64 = rounds
                .iter()
                .map(|r| (r.weight[token] - largest).exp() / total * r.value[token * x.channels + c])
                .sum();
            out.data[c * tokens + token] += mean as f32;
        }
    }
    out
}

/// What one round gives: per token the logarithm of its sum of exponentials, and `[tokens][channels]` mean values.
struct Round {
    weight: Vec<f64>,
    value: Vec<f64>,
}

/// One round: every token attends to its chunk and to the chunks before and after, in a circle.
fn attend(chunk: usize, embed: &Tensor, values: &Tensor, places: &Tensor, codes: &[u8]) -> Round {
    let (tokens, channels) = (embed.plane_len(), values.channels);
    let order = chunk_order(codes, chunk);
    let chunks = order.len() / chunk;
    let mut round = Round { weight: vec![0.0; tokens], value: vec![0.0; tokens * channels] };
    for j in 0..chunks {
        let keys: Vec<usize> = [j, (j + chunks - 1) % chunks, (j + 1) % chunks]
            .iter()
            .flat_map(|&n| order[n * chunk..][..chunk].iter().copied())
            .collect();
        for i in 0..chunk {
            // Places beyond the last token hold copies, whose own results are dropped.
            if j * chunk + i >= tokens {
                break;
            }
            let query = order[j * chunk + i];
            let scores: Vec<f64> = keys.iter().map(|&key| score(embed, places, query, key, i)).collect();
            let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let sum = largest + scores.iter().map(|s| (s - largest).exp()).sum::<f64>().ln();
            round.weight[query] = sum;
            for (&key, s) in keys.iter().zip(&scores) {
                for c in 0..channels {
                    round.value[query * channels + c] += (s - sum).exp() * f64::from(values.data[c * tokens + key]);
                }
            }
        }
    }
    round
}

/// Query times unit key, and the key's score of the query's place in its chunk.
fn score(embed: &Tensor, places: &Tensor, query: usize, key: usize, place: usize) -> f64 {
    let n = embed.plane_len();
    let e = |channel: usize, token: usize| f64::from(embed.data[channel * n + token]);
    let norm = (0..embed.channels).map(|c| e(c, key).powi(2)).sum::<f64>().sqrt().max(5e-5);
    let dot: f64 = (0..embed.channels).map(|c| e(c, query) * e(c, key)).sum();
    dot / norm + f64::from(places.data[place * n + key])
}
