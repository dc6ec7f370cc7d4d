//! The report for people at a terminal.

use std::fmt::Write as _;

use super::{Figures, Setting, Warning, rows};

/// Lays out the figures of a run: both worlds side by side, then who was worse off, then why the
/// run may not count.
#[must_use]
pub fn text(setting: &Setting<'_>, figures: &Figures, warnings: &[Warning]) -> String {
    let sections = rows::sections(setting, figures);
    let all = || sections.iter().flat_map(|section| &section.rows);
    let name_width = all().map(|row| row.name.len()).max().unwrap_or(0);
    let width = |column: fn(&rows::Row) -> &str, head: &str| {
        let widest = all().map(|row| column(row).len()).max();
        widest.unwrap_or(0).max(head.len())
    };
    let hybrid_width = width(|row| &row.hybrid, HYBRID);
    let twin_width = width(|row| &row.twin, TWIN);
    let mut text = format!("{}\n", rows::headline(setting));
    for section in &sections {
        // Where the second world has no part, neither need be named.
        let has_twin = section.rows.iter().any(|row| !row.twin.is_empty());
        let [hybrid, twin] = if has_twin { [HYBRID, TWIN] } else { [""; 2] };
        let head = format!(
            "{:<name_width$}  {hybrid:>hybrid_width$}  {twin:>twin_width$}",
            section.name
        );
        let _ = writeln!(text, "\n{}", head.trim_end());
        for row in &section.rows {
            let line = format!(
                "{:<name_width$}  {:>hybrid_width$}  {:>twin_width$}  {}",
                row.name, row.hybrid, row.twin, row.note
            );
            let _ = writeln!(text, "{}", line.trim_end());
        }
    }
    worse(&mut text, figures);
    for warning in warnings {
        let _ = writeln!(text, "\nwarning: {warning}");
    }
    text
}

fn worse(text: &mut String, figures: &Figures) {
    let all = &figures.worse_than_twin;
    if all.is_empty() {
        return;
    }
    text.push_str("\nworse than the twin\n");
    for shortfall in all.iter().take(SHOWN_MAX) {
        let _ = writeln!(text, "{shortfall}");
    }
    if all.len() > SHOWN_MAX {
        let _ = writeln!(text, "and {} more", all.len() - SHOWN_MAX);
    }
}

const HYBRID: &str = "with peers";

const TWIN: &str = "HTTP alone";

/// Enough to see a pattern.
const SHOWN_MAX: usize = 10;

#[cfg(test)]
mod tests {
    use super::{super::testing, *};
    use crate::world::Outcome;

    fn lines(outcome: &Outcome) -> Vec<String> {
        let scenario = testing::scenario();
        let setting = testing::setting(&scenario);
        let figures = Figures::new(&setting, outcome);
        let warnings = figures.warnings(&setting, outcome);
        let text = text(&setting, &figures, &warnings);
        text.lines().map(str::to_owned).collect()
    }

    /// The words of the only line that begins with `name`.
    fn values(lines: &[String], name: &str) -> Vec<String> {
        let mut found = lines.iter().filter_map(|line| line.strip_prefix(name));
        let rest = found.next().unwrap_or_else(|| panic!("no {name}"));
        assert!(found.next().is_none(), "{name} twice");
        rest.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn both_worlds_stand_side_by_side() {
        let lines = lines(&testing::outcome());
        assert_eq!(
            lines[0],
            "small: 3 viewers for 60 s, 6 s behind live, seed 7"
        );
        assert_eq!(values(&lines, "stalls "), ["1", "3"]);
        assert_eq!(values(&lines, "stalled "), ["0.50", "s", "4.00", "s"]);
        assert_eq!(values(&lines, "startup, p50"), ["800", "ms", "800", "ms"]);
        assert_eq!(values(&lines, "from peers"), ["600", "B", "0", "B"]);
        assert_eq!(values(&lines, "  duty"), ["150", "B", "0", "B"]);
        assert_eq!(values(&lines, "peer efficiency, steady")[0], "0.7000");
        assert_eq!(values(&lines, "HTTP copies per segment")[0], "0.60");
        assert_eq!(values(&lines, "control")[..2], ["1.00", "%"]);
        assert_eq!(values(&lines, "  events per second"), ["400"]);
        assert_eq!(values(&lines, "  per viewer")[..2], ["1.00", "MB"]);
    }

    #[test]
    fn columns_end_where_their_heads_end() {
        let lines = lines(&testing::outcome());
        let head = lines
            .iter()
            .find(|line| line.starts_with("playback"))
            .unwrap();
        let row = lines
            .iter()
            .find(|line| line.starts_with("stalled"))
            .unwrap();
        assert_eq!(
            head.find("with peers").unwrap() + 10,
            row.find("0.50 s").unwrap() + 6
        );
        assert_eq!(head.len(), row.len());
    }

    #[test]
    fn who_is_worse_off_is_named_and_a_crowd_of_them_is_counted() {
        let mut outcome = testing::outcome();
        let all = lines(&outcome);
        assert_eq!(values(&all, "worse than the twin  ")[0], "1");
        assert!(all.contains(&"viewer 1: started 100 ms later".to_owned()));
        let (viewer, twin) = (
            outcome.hybrid.tallies[1].clone(),
            outcome.twin.tallies[1].clone(),
        );
        for person in 3..15 {
            for (world, tally) in [(&mut outcome.hybrid, &viewer), (&mut outcome.twin, &twin)] {
                world.tallies.push(crate::tally::Tally {
                    person,
                    ..tally.clone()
                });
            }
        }
        assert!(lines(&outcome).contains(&"and 3 more".to_owned()));
    }

    #[test]
    fn a_run_without_anything_is_laid_out_all_the_same() {
        let lines = lines(&Outcome::default());
        assert_eq!(values(&lines, "offload")[0], "-");
        assert_eq!(lines.last().unwrap(), "warning: nobody played anything");
    }
}
