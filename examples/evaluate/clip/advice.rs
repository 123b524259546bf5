//! Which network is worth its time, in words.

use super::hundredths;
use crate::report::Row;

/// What can be seen: half a decibel, a rule of thumb of video coding for a gain that is worth having.
const VISIBLE_DB: f64 = 0.5;

/// The same in VMAF: 75 of 100 viewers notice a difference of 6 points.
const VISIBLE_VMAF: f64 = 6.0;

/// What a dearer network must give beyond a cheaper one, in decibels; less, and nobody would tell them apart.
const STEP_DB: f64 = 0.1;

/// Advice about networks on a clip that has `rate` frames a second.
pub fn advice(lanczos: &Row, networks: &[Row], rate: Option<f64>) -> String {
    let ladder = ladder(networks, lanczos);
    let Some(top) = ladder.last() else { return lanczos_alone(lanczos, networks) };
    let figures = |row: &Row| format!("{}, {:.1} fps", gain(row, lanczos), row.fps.unwrap_or(f64::NAN));
    let Some(rate) = rate else {
        return format!("{} is worth its time: {}", top.model, figures(top));
    };
    let in_time = |row: &Row| row.fps.is_some_and(|fps| fps >= rate);
    match ladder.iter().rev().find(|row| in_time(row)) {
        Some(live) if live.model == top.model => {
            format!("{} is worth its time, also live: {}", top.model, figures(top))
        }
        Some(live) => {
            format!("live take {}: {}; for a file take {}: {}", live.model, figures(live), top.model, figures(top))
        }
        None => format!(
            "{} is worth its time for a file: {}; live none keeps up with {} fps here, {}",
            top.model,
            figures(top),
            hundredths(rate),
            if in_time(lanczos) { "but Lanczos does" } else { "nor does Lanczos" }
        ),
    }
}

/// Why no network is worth its time.
fn lanczos_alone(lanczos: &Row, networks: &[Row]) -> String {
    let Some(best) = networks.iter().max_by(|a, b| a.psnr.total_cmp(&b.psnr)) else {
        return "no network was measured".into();
    };
    let why = match difference(best, lanczos) {
        (decibels, Some(points)) if decibels >= VISIBLE_DB || points >= VISIBLE_VMAF => {
            "PSNR and VMAF do not agree that this is better".into()
        }
        (_, Some(_)) => format!("less than {VISIBLE_DB} dB or {VISIBLE_VMAF} VMAF is hardly seen"),
        (_, None) => format!("less than {VISIBLE_DB} dB is hardly seen"),
    };
    let gain = gain(best, lanczos);
    format!("Lanczos does as well: the best network here, {}, has {gain} on it; {why}", best.model)
}

/// The networks that are worth their time, cheapest first, each better than the one before it.
fn ladder<'a>(networks: &'a [Row], lanczos: &Row) -> Vec<&'a Row> {
    let mut worth: Vec<&Row> = networks.iter().filter(|row| is_seen(row, lanczos)).collect();
    worth.sort_by(|a, b| a.ms_per_mp.total_cmp(&b.ms_per_mp));
    let mut ladder: Vec<&Row> = Vec::new();
    for row in worth {
        if ladder.last().is_none_or(|last| row.psnr >= last.psnr + STEP_DB) {
            ladder.push(row);
        }
    }
    ladder
}

/// Whether one measure sees a difference and the other, where there is one, does not say the contrary: PSNR alone favours
/// blur, VMAF alone favours sharpening.
fn is_seen(row: &Row, lanczos: &Row) -> bool {
    match difference(row, lanczos) {
        (decibels, None) => decibels >= VISIBLE_DB,
        (decibels, Some(points)) => {
            (decibels >= VISIBLE_DB && points >= 0.0) || (points >= VISIBLE_VMAF && decibels >= 0.0)
        }
    }
}

/// Decibels, and points of VMAF where it was measured, that a network has on Lanczos.
fn difference(row: &Row, lanczos: &Row) -> (f64, Option<f64>) {
    (row.psnr - lanczos.psnr, row.vmaf.zip(lanczos.vmaf).map(|(own, other)| own - other))
}

/// The same in words.
fn gain(row: &Row, lanczos: &Row) -> String {
    match difference(row, lanczos) {
        (decibels, Some(points)) => format!("{decibels:+.2} dB and {points:+.1} VMAF"),
        (decibels, None) => format!("{decibels:+.2} dB"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Advice on networks by name, PSNR, VMAF and frames a second, beside a Lanczos of 36 dB and, if so, VMAF 80.
    fn about(networks: &[(&str, f64, Option<f64>, f64)], rate: Option<f64>) -> String {
        let row = |&(model, psnr, vmaf, fps): &(&str, f64, Option<f64>, f64)| Row {
            model: model.into(),
            psnr,
            vmaf,
            fps: Some(fps),
            ms_per_mp: 1e3 / fps,
            ..Row::default()
        };
        let lanczos = row(&("lanczos", 36.0, networks[0].2.map(|_| 80.0), 200.0));
        advice(&lanczos, &networks.iter().map(row).collect::<Vec<_>>(), rate)
    }

    #[test]
    fn a_network_that_is_seen_and_in_time_is_the_one() {
        let text = about(&[("s", 37.5, None, 60.0), ("m", 38.0, None, 31.0)], Some(30.0));
        assert_eq!(text, "m is worth its time, also live: +2.00 dB, 31.0 fps");
    }

    #[test]
    fn live_and_files_part_where_the_better_one_is_too_slow() {
        let networks = [("m", 38.0, Some(91.0), 12.0), ("s", 37.5, Some(90.0), 60.0)];
        let text = about(&networks, Some(30.0));
        assert!(
            text.starts_with("live take s: +1.50 dB and +10.0 VMAF, 60.0 fps; for a file take m: +2.00 dB"),
            "{text}"
        );
        assert!(about(&networks, Some(100.0)).ends_with("live none keeps up with 100 fps here, but Lanczos does"));
        assert!(about(&networks, Some(300.0)).ends_with("nor does Lanczos"));
        assert_eq!(about(&networks, None), "m is worth its time: +2.00 dB and +11.0 VMAF, 12.0 fps");
    }

    #[test]
    fn a_dearer_network_that_gives_no_more_is_left_out() {
        let text = about(&[("s", 37.5, None, 60.0), ("m", 37.58, None, 40.0)], Some(30.0));
        assert!(text.starts_with("s is worth its time"), "{text}");
    }

    #[test]
    fn lanczos_does_as_well_where_nothing_is_seen_or_the_measures_disagree() {
        let disagree = "PSNR and VMAF do not agree that this is better";
        for (psnr, vmaf, why) in [
            (36.4, None, "less than 0.5 dB is hardly seen"),
            (36.4, Some(85.9), "less than 0.5 dB or 6 VMAF is hardly seen"),
            (37.0, Some(79.0), disagree),
            (35.9, Some(95.0), disagree),
        ] {
            let text = about(&[("s", psnr, vmaf, 60.0)], Some(30.0));
            assert!(text.starts_with("Lanczos does as well") && text.ends_with(why), "{psnr} {vmaf:?}: {text}");
        }
        assert!(about(&[("s", 36.1, Some(86.0), 60.0)], Some(30.0)).starts_with("s is worth"));
    }
}
