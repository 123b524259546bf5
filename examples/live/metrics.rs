//! The figures for Prometheus, as text over HTTP.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::PoisonError;
use std::time::Duration;

use srup_examples::Failure;

use crate::status::{Board, Figures, State};

/// Whoever takes longer to ask or to listen is left alone.
const PATIENCE: Duration = Duration::from_secs(2);

/// No request that is meant for this is longer.
const LONGEST_REQUEST: u64 = 8192;

/// Serves the board at `/metrics` from a thread of its own. Returns the address, for port 0 the one that was chosen.
///
/// # Errors
/// The port is taken, or the address is none of this machine's.
pub fn serve(address: SocketAddr, board: Board) -> Result<SocketAddr, Failure> {
    let taken =
        |error| Failure::new(format!("cannot serve metrics at {address}: {error}; give another port to --metrics"));
    let listener = TcpListener::bind(address).map_err(taken)?;
    let bound = listener.local_addr().map_err(taken)?;
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let figures = board.lock().unwrap_or_else(PoisonError::into_inner).clone();
            // Who went away before the answer does not need it.
            let _ = answer(stream, &figures);
        }
    });
    Ok(bound)
}

fn answer(mut stream: TcpStream, figures: &Figures) -> std::io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut reader = BufReader::new((&mut stream).take(LONGEST_REQUEST));
    let mut request = String::new();
    reader.read_line(&mut request)?;
    // The rest of the request is read: closing on unread data would reset the connection under the answer.
    let mut line = String::new();
    while reader.read_line(&mut line)? > 0 && !line.trim_end().is_empty() {
        line.clear();
    }
    let (status, body) = match request.split_whitespace().take(2).collect::<Vec<_>>()[..] {
        ["GET", "/metrics"] => ("200 OK", text(figures)),
        ["GET", _] => ("404 Not Found", "see /metrics\n".to_owned()),
        _ => ("405 Method Not Allowed", "GET /metrics\n".to_owned()),
    };
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

/// Prometheus' text format, version 0.0.4.
fn text(figures: &Figures) -> String {
    let playing = f64::from(u8::from(figures.state == State::Playing));
    let entries = [
        ("up", "gauge", "1 while data flow from the source", playing),
        ("frames_total", "counter", "Frames that have gone out", figures.frames as f64),
        ("fps", "gauge", "Frames a second, over the last two seconds", figures.fps),
        ("latency_seconds", "gauge", "The longest way of a frame in the last two seconds", figures.latency_ms / 1000.0),
        ("late_total", "counter", "Frames later than the reported latency", figures.late as f64),
        ("bicubic_total", "counter", "Frames made by plain resampling to be in time", figures.bicubic as f64),
        ("reused_ratio", "gauge", "Share of the picture that was not computed again", figures.reused),
        ("dropped_total", "counter", "Frames left out", figures.dropped as f64),
        ("switches_total", "counter", "Changes of the network", figures.switches as f64),
        ("reconnects_total", "counter", "How often the source has come back", figures.reconnects as f64),
    ];
    let mut text = String::new();
    for (name, kind, help, value) in entries {
        // Writing into a string cannot fail.
        let _ =
            writeln!(text, "# HELP srupscale_{name} {help}\n# TYPE srupscale_{name} {kind}\nsrupscale_{name} {value}");
    }
    let model = figures.model.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n");
    let _ = writeln!(
        text,
        "# HELP srupscale_info The network in use\n# TYPE srupscale_info gauge\nsrupscale_info{{model=\"{model}\"}} 1"
    );
    text
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    fn ask(address: SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    #[test]
    fn the_figures_of_the_moment_are_served() {
        let board: Board = Arc::new(Mutex::new(Figures { model: "a\"b".into(), ..Figures::default() }));
        let address = serve("127.0.0.1:0".parse().unwrap(), board.clone()).unwrap();
        board.lock().unwrap().reconnects = 3;
        let answer = ask(address, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(answer.contains("\nsrupscale_reconnects_total 3\n"), "{answer}");
        assert!(answer.contains(r#"{model="a\"b"} 1"#), "{answer}");
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("Content-Length: {}", body.len())), "{head}");
        assert!(ask(address, "GET / HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 404"));
        assert!(ask(address, "POST /metrics HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 405"));
    }

    #[test]
    fn a_taken_port_is_an_error() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let error = serve(taken.local_addr().unwrap(), Board::default()).unwrap_err().to_string();
        assert!(error.contains("another port"), "{error}");
    }
}
