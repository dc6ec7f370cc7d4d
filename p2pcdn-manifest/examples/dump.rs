//! Prints what a playlist or an MPD says as one JSON object, for comparison with other programs.
//!
//! `dump --base URL [--now-ms N] FILE` prints the one of a file; `dump --batch` reads lines
//! `FILE<TAB>BASE<TAB>NOW_MS` and prints one line for each. What is refused gives an object of
//! kind `error`.

use std::{
    error::Error,
    io::{BufRead, Write},
};

use p2pcdn_wire::UnixTime;
use serde_json::{Value, json};

#[path = "dump/dash.rs"]
mod dash;
#[path = "dump/hls.rs"]
mod hls;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--batch") {
        return batch();
    }
    let (mut base, mut now, mut file) = (None, None, None);
    let mut arguments = arguments.into_iter();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--base" => base = arguments.next(),
            "--now-ms" => now = arguments.next(),
            _ => file = Some(argument),
        }
    }
    let (Some(base), Some(file)) = (base, file) else {
        return Err("usage: dump --base URL [--now-ms N] FILE | dump --batch".into());
    };
    println!(
        "{}",
        dump(&file, &base, now.as_deref().unwrap_or_default())?
    );
    Ok(())
}

fn batch() -> Result<(), Box<dyn Error>> {
    let mut output = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let mut fields = line.split('\t');
        let (file, base) = (
            fields.next().unwrap_or_default(),
            fields.next().unwrap_or_default(),
        );
        let dumped = dump(file, base, fields.next().unwrap_or_default());
        let dumped = dumped.unwrap_or_else(|error| refusal(&error.to_string()));
        writeln!(output, "{dumped}")?;
        output.flush()?;
    }
    Ok(())
}

fn dump(file: &str, base: &str, now_ms: &str) -> Result<Value, Box<dyn Error>> {
    let text = std::fs::read(file)?;
    let now = match now_ms.trim() {
        "" => None,
        now => Some(UnixTime::from_micros(
            now.parse::<i64>()?.saturating_mul(1_000),
        )),
    };
    let without_mark = text.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(&text);
    let first = without_mark.iter().find(|byte| !byte.is_ascii_whitespace());
    Ok(if first == Some(&b'<') {
        dash::dump(&text, base, now)
    } else {
        hls::dump(&text, base)
    })
}

/// What a manifest that is refused is printed as.
fn refusal(message: &str) -> Value {
    json!({ "kind": "error", "message": message })
}
