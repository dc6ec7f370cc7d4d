//! URL templates (ISO/IEC 23009-1, 5.3.9.4.4).

use std::{fmt::Write, sync::Arc};

use crate::limits::{MAX_LINE_LEN, MAX_TEMPLATE_WIDTH};

/// A URL with places to fill in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Template {
    parts: Arc<[Part]>,
    /// Whether all of it was understood.
    pub(super) is_sound: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(Box<str>),
    Value { of: Identifier, width: usize },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Identifier {
    RepresentationId,
    Number,
    SubNumber,
    Bandwidth,
    Time,
}

/// What a template is filled in with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Values<'a> {
    pub(super) representation_id: &'a str,
    pub(super) bandwidth: u64,
    pub(super) number: u64,
    pub(super) sub_number: u64,
    pub(super) time: u64,
}

impl Template {
    /// Whether it tells segments apart by `$Time$` alone.
    pub(super) fn is_by_time(&self) -> bool {
        self.has(Identifier::Time) && !self.has(Identifier::Number)
    }

    /// Whether segments of a sequence (`S@k`) have names of their own.
    pub(super) fn has_sub_number(&self) -> bool {
        self.has(Identifier::SubNumber)
    }

    /// With `$SubNumber$` left as it is written, width aside.
    pub(super) fn without_sub_number(&self) -> Self {
        let parts = self.parts.iter().map(|part| match part {
            Part::Value {
                of: Identifier::SubNumber,
                ..
            } => Part::Text("$SubNumber$".into()),
            part => part.clone(),
        });
        Self {
            parts: parts.collect(),
            is_sound: self.is_sound,
        }
    }

    fn has(&self, wanted: Identifier) -> bool {
        let is_it = |part: &Part| matches!(part, Part::Value { of, .. } if *of == wanted);
        self.parts.iter().any(is_it)
    }

    /// A template for segments. Never fails: what is not understood stays as it is written, as in
    /// the players.
    pub(super) fn new(text: &str) -> Self {
        Self::read(text, |_| true)
    }

    /// A template for an init segment, which there is one of: nothing that differs from segment to
    /// segment is filled in.
    pub(super) fn for_init(text: &str) -> Self {
        Self::read(text, |of| {
            matches!(of, Identifier::RepresentationId | Identifier::Bandwidth)
        })
    }

    fn read(text: &str, is_known: impl Fn(Identifier) -> bool) -> Self {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut is_sound = true;
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('$') {
            literal.push_str(before);
            let Some((inside, behind)) = after.split_once('$') else {
                is_sound = false;
                literal.push('$');
                rest = after;
                break;
            };
            if inside.is_empty() {
                literal.push('$');
                rest = behind;
            } else if let Some(value) = value(inside, &is_known) {
                if !literal.is_empty() {
                    parts.push(Part::Text(std::mem::take(&mut literal).into()));
                }
                parts.push(value);
                rest = behind;
            } else {
                // The second `$` may begin an identifier of its own.
                is_sound = false;
                literal.push('$');
                literal.push_str(inside);
                rest = after.get(inside.len()..).unwrap_or_default();
            }
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            parts.push(Part::Text(literal.into()));
        }
        Self {
            parts: parts.into(),
            is_sound,
        }
    }

    /// The URL with everything filled in; `None` when it is longer than any URL may be.
    pub(super) fn fill(&self, values: &Values<'_>) -> Option<String> {
        let mut url = String::with_capacity(64);
        for part in &*self.parts {
            match part {
                Part::Text(text) => url.push_str(text),
                Part::Value { of, width } => {
                    let number = match of {
                        Identifier::RepresentationId => None,
                        Identifier::Number => Some(values.number),
                        Identifier::SubNumber => Some(values.sub_number),
                        Identifier::Bandwidth => Some(values.bandwidth),
                        Identifier::Time => Some(values.time),
                    };
                    match number {
                        Some(number) => write!(url, "{number:0width$}").ok()?,
                        None => url.push_str(values.representation_id),
                    }
                }
            }
            if url.len() > MAX_LINE_LEN {
                return None;
            }
        }
        Some(url)
    }
}

fn value(inside: &str, is_known: impl Fn(Identifier) -> bool) -> Option<Part> {
    let (name, format) = inside.split_once('%').unwrap_or((inside, ""));
    let of = match name {
        // The standard allows it no width, and players do not heed one.
        "RepresentationID" => Identifier::RepresentationId,
        "Number" => Identifier::Number,
        "SubNumber" => Identifier::SubNumber,
        "Bandwidth" => Identifier::Bandwidth,
        "Time" => Identifier::Time,
        _ => return None,
    };
    if !is_known(of) {
        return None;
    }
    let width = match format {
        "" if name.len() == inside.len() => 1,
        _ => width(format)?,
    };
    Some(Part::Value { of, width })
}

/// `0Nd`; as in the players, the zero may be missing and `i` or `u` stand for `d`.
fn width(format: &str) -> Option<usize> {
    let digits = format.strip_suffix(['d', 'i', 'u'])?;
    if !digits.bytes().all(|b| b.is_ascii_digit()) || digits.len() > 4 {
        return None;
    }
    let width = if digits.is_empty() {
        1
    } else {
        digits.parse().ok()?
    };
    (width <= MAX_TEMPLATE_WIDTH).then_some(width)
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALUES: Values<'_> = Values {
        representation_id: "v/1",
        bandwidth: 5_000,
        number: 42,
        sub_number: 3,
        time: 900,
    };

    fn fill(text: &str) -> String {
        Template::new(text).fill(&VALUES).unwrap()
    }

    #[test]
    fn identifiers_are_filled_in() {
        assert_eq!(
            fill("$RepresentationID$-$Bandwidth$/$Number$_$SubNumber$_$Time$.m4s"),
            "v/1-5000/42_3_900.m4s"
        );
        assert_eq!(fill("plain.mp4"), "plain.mp4");
        assert_eq!(fill("$Number$$Time$"), "42900");
    }

    #[test]
    fn widths_pad_with_zeros() {
        assert_eq!(fill("$Number%05d$"), "00042");
        assert_eq!(fill("$Number%01d$"), "42");
        assert_eq!(fill("$Bandwidth%06d$"), "005000");
        assert_eq!(fill("$Time%d$"), "900");
        let widest = format!("$Number%0{MAX_TEMPLATE_WIDTH}d$");
        assert_eq!(fill(&widest).len(), MAX_TEMPLATE_WIDTH);
        let wider = format!("$Number%0{}d$", MAX_TEMPLATE_WIDTH + 1);
        assert_eq!(fill(&wider), wider);
    }

    #[test]
    fn an_init_segment_has_no_number() {
        let template = Template::for_init("$RepresentationID$/$Bandwidth$/$Number$.mp4");
        assert_eq!(template.fill(&VALUES).unwrap(), "v/1/5000/$Number$.mp4");
    }

    #[test]
    fn two_dollars_stand_for_one() {
        assert_eq!(fill("a$$b$$Number$$"), "a$b$Number$");
        assert!(Template::new("a$$b").is_sound);
    }

    #[test]
    fn what_is_not_understood_stays() {
        for text in ["$Foo$", "a$b", "$Number%x$", "$Number%$", "$"] {
            assert_eq!(fill(text), text);
            assert!(!Template::new(text).is_sound, "{text}");
        }
        assert_eq!(fill("$Foo$Number$"), "$Foo42");
    }

    #[test]
    fn a_url_past_the_cap_is_refused() {
        let template = Template::new("$RepresentationID$$RepresentationID$");
        let half = "x".repeat(MAX_LINE_LEN / 2 + 1);
        let values = Values {
            representation_id: &half,
            ..VALUES
        };
        assert!(template.fill(&values).is_none());
    }
}
