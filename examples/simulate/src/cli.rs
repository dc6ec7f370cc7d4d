//! The command line.

use std::{
    fs::{File, OpenOptions},
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::{
    Parser, ValueEnum,
    builder::{PossibleValue, PossibleValuesParser},
};

use crate::{presets::PRESETS, scenario::Integrity};

/// Plays a live event or a film with up to hundreds of thousands of viewers in virtual time, each of
/// them running the session that ships, and the same people once more over HTTP alone; then says
/// what came from peers and who was better or worse off.
///
/// The same options give the same figures, byte for byte, but for those of the run itself.
#[derive(Clone, Debug, Parser)]
#[command(name = "simulate", version)]
pub struct Options {
    /// The world to play in; --help says what each of them is for.
    #[arg(long, value_name = "NAME", value_parser = PossibleValuesParser::new(presets()))]
    pub preset: String,
    /// Viewers at a time.
    #[arg(long, allow_negative_numbers = true, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=VIEWERS_MAX))]
    pub viewers: Option<u32>,
    /// Where all randomness comes from.
    #[arg(
        long,
        allow_negative_numbers = true,
        value_name = "S",
        default_value_t = 1
    )]
    pub seed: u64,
    /// Virtual time from the first arrival to the end, 1 second to a day.
    #[arg(long, allow_negative_numbers = true, value_name = "SECONDS", value_parser = duration)]
    pub duration: Option<Duration>,
    /// How far behind live viewers watch, half a second to five minutes.
    #[arg(long, allow_negative_numbers = true, value_name = "SECONDS", value_parser = latency)]
    pub latency: Option<Duration>,
    /// How viewers know that bytes are the publisher's.
    #[arg(long, value_enum, value_name = "HOW")]
    pub integrity: Option<IntegrityChoice>,
    /// Print one JSON object on standard output, and everything else on standard error.
    #[arg(long)]
    pub json: bool,
    /// Write a page with plots, complete in itself.
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Record what the session of the first viewer was told and what it answered.
    #[arg(long, value_name = "FILE")]
    pub record: Option<PathBuf>,
}

/// See [`Integrity`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum IntegrityChoice {
    /// The publisher signs a map of each segment's blocks.
    Signed,
    /// Two viewers that fetched a segment over HTTP vouch for it.
    Witnessed,
}

impl From<IntegrityChoice> for Integrity {
    fn from(choice: IntegrityChoice) -> Self {
        match choice {
            IntegrityChoice::Signed => Self::Signed,
            IntegrityChoice::Witnessed => Self::Witnessed,
        }
    }
}

/// A file to be written after the run, opened before it: hours later is too late to learn that it
/// cannot be.
#[derive(Debug)]
pub struct Target {
    path: PathBuf,
    file: File,
}

/// A file that cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("{} cannot be written: {source}", path.display())]
pub struct WriteError {
    path: PathBuf,
    source: io::Error,
}

impl Target {
    /// Opens the file; what it held stays until there is something new to write.
    ///
    /// # Errors
    ///
    /// When it can be neither opened for writing nor made.
    pub fn open(path: &Path) -> Result<Self, WriteError> {
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(|source| failed(path, source))?;
        Ok(Self {
            path: path.to_owned(),
            file,
        })
    }

    /// Replaces what the file held by what `write` gives.
    ///
    /// # Errors
    ///
    /// When it cannot be written after all, as on a full disk.
    pub fn write(
        self,
        write: impl FnOnce(&mut dyn io::Write) -> io::Result<()>,
    ) -> Result<(), WriteError> {
        let Self { path, file } = self;
        let mut buffered = io::BufWriter::new(&file);
        // A pipe or a terminal has no length.
        let emptied = match file.metadata() {
            Ok(data) if data.is_file() => file.set_len(0),
            _ => Ok(()),
        };
        emptied
            .and_then(|()| write(&mut buffered))
            .and_then(|()| io::Write::flush(&mut buffered))
            .map_err(|source| failed(&path, source))
    }
}

fn failed(path: &Path, source: io::Error) -> WriteError {
    WriteError {
        path: path.to_owned(),
        source,
    }
}

fn presets() -> impl Iterator<Item = PossibleValue> {
    let value = |(name, says): (&'static str, &'static str)| PossibleValue::new(name).help(says);
    PRESETS.into_iter().map(value)
}

fn duration(text: &str) -> Result<Duration, String> {
    seconds(text, 1.0, 86_400.0)
}

fn latency(text: &str) -> Result<Duration, String> {
    seconds(text, 0.5, 300.0)
}

fn seconds(text: &str, least: f64, most: f64) -> Result<Duration, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (least..=most).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        Ok(_) => Err(format!("must be from {least} to {most} seconds")),
        Err(_) => Err("must be a number of seconds".to_owned()),
    }
}

/// Ten times the largest preset: whoever has the memory.
const VIEWERS_MAX: i64 = 4_400_000;

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, error::ErrorKind};

    use super::*;

    fn parse(line: &str) -> Result<Options, clap::Error> {
        Options::try_parse_from(std::iter::once("simulate").chain(line.split_whitespace()))
    }

    #[test]
    fn the_command_is_consistent() {
        Options::command().debug_assert();
    }

    #[test]
    fn a_preset_is_all_that_is_needed() {
        let options = parse("--preset small-nat").unwrap();
        assert_eq!((options.preset.as_str(), options.seed), ("small-nat", 1));
        assert_eq!(
            (options.viewers, options.duration, options.latency),
            (None, None, None)
        );
        assert!(!options.json && options.html.is_none() && options.record.is_none());
        let missing = parse("").unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::MissingRequiredArgument);
        assert_eq!(missing.exit_code(), 2);
    }

    #[test]
    fn every_option_is_understood() {
        let options = parse(
            "--preset event --viewers 440000 --seed 18446744073709551615 --duration 90.5 \
             --latency 4 --integrity witnessed --json --html a.html --record b",
        )
        .unwrap();
        assert_eq!((options.viewers, options.seed), (Some(440_000), u64::MAX));
        assert_eq!(options.duration, Some(Duration::from_millis(90_500)));
        assert_eq!(options.latency, Some(Duration::from_secs(4)));
        let integrity = options.integrity.map(Integrity::from);
        assert_eq!(integrity, Some(Integrity::Witnessed));
        assert!(options.json);
    }

    #[test]
    fn nonsense_is_refused_with_a_reason() {
        for (line, reason) in [
            ("--viewers 0", "0 is not in 1..=4400000"),
            ("--viewers 4400001", "4400001 is not in"),
            ("--viewers -3", "-3 is not in 1..=4400000"),
            ("--seed -1", "invalid digit"),
            ("--duration -5", "must be from 1 to 86400 seconds"),
            ("--duration 0.5", "must be from 1 to 86400 seconds"),
            ("--duration 86401", "must be from 1 to 86400 seconds"),
            ("--duration NaN", "must be from 1 to 86400 seconds"),
            ("--duration inf", "must be from 1 to 86400 seconds"),
            ("--duration long", "must be a number of seconds"),
            ("--latency 0", "must be from 0.5 to 300 seconds"),
            ("--latency 301", "must be from 0.5 to 300 seconds"),
            ("--integrity none", "possible values: signed, witnessed"),
            ("--preset tiny", "possible values: small, small-nat, event"),
            ("more", "unexpected argument"),
        ] {
            let preset = if line.contains("--preset") {
                ""
            } else {
                "--preset small "
            };
            let error = parse(&format!("{preset}{line}")).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{line}");
            let message = error.to_string();
            assert!(message.contains(reason), "{line}: {message}");
        }
    }

    #[test]
    fn help_tells_what_each_preset_is_for() {
        let help = parse("--help").unwrap_err();
        assert_eq!((help.kind(), help.exit_code()), (ErrorKind::DisplayHelp, 0));
        let text = help.to_string();
        for (name, says) in PRESETS {
            assert!(text.contains(&format!("- {name}: ")), "{name}");
            // Up to where the terminal would break the line.
            let (words, _) = says.split_at(20);
            assert!(text.contains(words), "{name}");
        }
    }

    #[test]
    fn a_file_keeps_what_it_held_until_there_is_something_new() {
        let path = std::env::temp_dir().join(format!("simulate-target-{}", std::process::id()));
        std::fs::write(&path, "a longer text of before").unwrap();
        let target = Target::open(&path).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"a longer text of before");
        target.write(|file| file.write_all(b"new")).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn a_file_that_cannot_be_written_is_named() {
        let error = Target::open(Path::new("/no/such/folder/page.html")).unwrap_err();
        let message = error.to_string();
        assert!(
            message.starts_with("/no/such/folder/page.html cannot be written: "),
            "{message}"
        );
        assert!(Target::open(&std::env::temp_dir()).is_err());
    }
}
