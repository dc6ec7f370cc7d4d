//! `EXT-X-DATERANGE`: something that lasts for a while, such as a programme or an advertisement.

use std::{collections::BTreeMap, time::Duration};

use p2pcdn_wire::UnixTime;

use super::{attributes::Attributes, lexer::Lexer, low_latency::duration, variables::Scope};
use crate::{
    date::date,
    error::{ParseError, WarningKind},
    limits::{MAX_ATTRIBUTES, MAX_DATE_RANGES},
};

/// `EXT-X-DATERANGE` (RFC 8216bis section 4.4.5.1): all tags with one `ID` together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DateRange {
    /// `ID`.
    pub id: Box<str>,
    /// `CLASS`: ranges of one class have attributes of one meaning.
    pub class: Option<Box<str>>,
    /// `START-DATE`; `None` where it cannot be read, or was left to another playlist.
    pub start: Option<UnixTime>,
    /// `END-DATE`.
    pub end: Option<UnixTime>,
    /// `DURATION`.
    pub duration: Option<Duration>,
    /// `PLANNED-DURATION`: not yet certain.
    pub planned_duration: Option<Duration>,
    /// `CUE`, such as `PRE` or `POST,ONCE`.
    pub cue: Option<Box<str>>,
    /// `END-ON-NEXT`: it ends where the next one of its class begins.
    pub ends_on_next: bool,
    /// `SCTE35-CMD`, hexadecimal as written.
    pub scte35_command: Option<Box<str>>,
    /// `SCTE35-OUT`, hexadecimal as written.
    pub scte35_out: Option<Box<str>>,
    /// `SCTE35-IN`, hexadecimal as written.
    pub scte35_in: Option<Box<str>>,
    /// All other attributes in order, such as `X-ASSET-URI`: name, and value without quotes.
    pub attributes: Vec<(Box<str>, Box<str>)>,
}

impl DateRange {
    fn new(id: &str) -> Self {
        Self {
            id: id.into(),
            class: None,
            start: None,
            end: None,
            duration: None,
            planned_duration: None,
            cue: None,
            ends_on_next: false,
            scte35_command: None,
            scte35_out: None,
            scte35_in: None,
            attributes: Vec::new(),
        }
    }

    /// Takes an attribute, unless it is known: the same in two tags of one range must be equal.
    fn take(&mut self, name: &str, value: &str, lexer: &mut Lexer<'_>) {
        let text = |slot: &mut Option<Box<str>>| {
            slot.get_or_insert_with(|| value.into());
        };
        match name {
            "ID" => {}
            "CLASS" => text(&mut self.class),
            "CUE" => text(&mut self.cue),
            "SCTE35-CMD" => text(&mut self.scte35_command),
            "SCTE35-OUT" => text(&mut self.scte35_out),
            "SCTE35-IN" => text(&mut self.scte35_in),
            "START-DATE" => self.start = self.start.or_else(|| date_or_warn(value, lexer)),
            "END-DATE" => self.end = self.end.or_else(|| date_or_warn(value, lexer)),
            "DURATION" => self.duration = self.duration.or_else(|| duration(value, lexer)),
            "PLANNED-DURATION" => {
                let planned = self.planned_duration;
                self.planned_duration = planned.or_else(|| duration(value, lexer));
            }
            "END-ON-NEXT" => self.ends_on_next |= value == "YES",
            _ => {
                let is_known = self.attributes.iter().any(|(known, _)| **known == *name);
                if !is_known && self.attributes.len() < MAX_ATTRIBUTES {
                    self.attributes.push((name.into(), value.into()));
                }
            }
        }
    }
}

fn date_or_warn(value: &str, lexer: &mut Lexer<'_>) -> Option<UnixTime> {
    let date = date(value);
    if date.is_none() {
        lexer.warn(WarningKind::BadDate);
    }
    date
}

/// The date ranges of a playlist that is being read.
#[derive(Default)]
pub(super) struct DateRanges {
    list: Vec<DateRange>,
    places: BTreeMap<Box<str>, usize>,
}

impl DateRanges {
    /// Takes a tag.
    pub(super) fn take(
        &mut self,
        value: &str,
        lexer: &mut Lexer<'_>,
        scope: &mut Scope<'_>,
    ) -> Result<(), ParseError> {
        let line = lexer.number();
        let attributes = Attributes::new(value);
        let mut ids = attributes.clone().filter(|(name, _)| *name == "ID");
        let Some((_, id)) = ids.next().filter(|(_, id)| !id.is_empty()) else {
            lexer.warn(WarningKind::BadAttribute);
            return Ok(());
        };
        let id = scope.expand(id, line)?;
        let at = match self.places.get(&*id) {
            Some(at) => *at,
            None if self.list.len() >= MAX_DATE_RANGES => {
                lexer.warn(WarningKind::TooManyEntries);
                return Ok(());
            }
            None => {
                self.places.insert((&*id).into(), self.list.len());
                self.list.push(DateRange::new(&id));
                self.list.len() - 1
            }
        };
        let Some(range) = self.list.get_mut(at) else {
            return Ok(());
        };
        for (name, value) in attributes {
            range.take(name, &scope.expand(value, line)?, lexer);
        }
        Ok(())
    }

    pub(super) fn into_vec(self) -> Vec<DateRange> {
        self.list
    }
}
