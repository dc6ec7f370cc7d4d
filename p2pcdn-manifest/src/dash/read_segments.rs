//! From XML to `SegmentTemplate`, `SegmentList` and `SegmentBase`.

use super::{
    elements::{Addressing, S, SegmentInfo, UrlRange},
    read::{Reader, Remote},
    values,
    xml::{Element, Name},
};
use crate::{
    error::{ParseError, WarningKind},
    limits::{MAX_SEGMENTS, MAX_TIMELINE_ENTRIES},
};

impl Reader<'_> {
    /// `None` when it is remote and has nothing of its own.
    pub(super) fn segment_info(
        &mut self,
        element: &Element<'_>,
    ) -> Result<Option<SegmentInfo>, ParseError> {
        let addressing = match element.name() {
            "SegmentTemplate" => Addressing::Template,
            "SegmentList" => Addressing::List,
            _ => Addressing::Base,
        };
        let attributes = self.xml.attributes(element);
        let remote = self.remote(&attributes);
        let mut info = SegmentInfo::new(addressing, self.xml.line());
        for (name, value) in &attributes {
            if let Name::Plain(name) = name {
                self.segment_attribute(name, value, &mut info);
            }
        }
        let mut urls = Vec::new();
        while let Some(element) = self.xml.child()? {
            match element.name() {
                "Initialization" => {
                    info.init = Some(self.url_range(&element, "sourceURL", "range")?)
                }
                "RepresentationIndex" => {
                    info.index = Some(self.url_range(&element, "sourceURL", "range")?);
                }
                "SegmentTimeline" => info.timeline = Some(self.timeline()?.into()),
                "SegmentURL" => {
                    self.segment_urls += 1;
                    if self.segment_urls > MAX_SEGMENTS {
                        return Err(self.xml.too_many());
                    }
                    urls.push(self.url_range(&element, "media", "mediaRange")?);
                }
                _ => self.other(&element, false)?,
            }
        }
        if !urls.is_empty() {
            info.urls = Some(urls.into());
        }
        let is_kept = match remote {
            Remote::No => true,
            Remote::Yes => info.urls.is_some(),
            Remote::Nothing => false,
        };
        Ok(is_kept.then_some(info))
    }

    fn segment_attribute(&mut self, name: &str, value: &str, info: &mut SegmentInfo) {
        match name {
            "timescale" => info.timescale = self.unsigned(value).filter(|scale| *scale > 0),
            "presentationTimeOffset" => {
                let offset = values::signed(value);
                info.presentation_time_offset = self.known(offset, WarningKind::BadNumber);
                if offset.is_some_and(|offset| offset < 0) {
                    self.xml.warn(WarningKind::BadNumber);
                }
            }
            "duration" => {
                let duration = values::decimal(value).filter(|duration| duration.scaled > 0);
                info.duration = self.known(duration, WarningKind::BadNumber);
            }
            "startNumber" => info.start_number = self.unsigned(value),
            "endNumber" => info.end_number = self.unsigned(value),
            "indexRange" => info.index_range = self.byte_range(value),
            "availabilityTimeOffset" => info.availability_offset = self.seconds(value),
            "availabilityTimeComplete" => info.availability_complete = self.boolean(value),
            "media" => info.media = Some(value.into()),
            "initialization" => info.init_template = Some(value.into()),
            _ => {}
        }
    }

    fn url_range(
        &mut self,
        element: &Element<'_>,
        url: &str,
        range: &str,
    ) -> Result<UrlRange, ParseError> {
        let mut read = UrlRange::default();
        for (name, value) in self.xml.attributes(element) {
            match name {
                Name::Plain(name) if name == url => read.url = value.trim().into(),
                Name::Plain(name) if name == range => read.range = self.byte_range(&value),
                _ => {}
            }
        }
        self.xml.skip()?;
        Ok(read)
    }

    fn timeline(&mut self) -> Result<Vec<S>, ParseError> {
        let mut entries = Vec::new();
        while let Some(element) = self.xml.child()? {
            if element.name() != "S" {
                self.other(&element, false)?;
                continue;
            }
            self.timeline_entries += 1;
            if self.timeline_entries > MAX_TIMELINE_ENTRIES {
                return Err(self.xml.too_many());
            }
            let mut entry = S {
                sequence_len: 1,
                ..S::default()
            };
            for (name, value) in self.xml.attributes(&element) {
                let Name::Plain(name) = name else { continue };
                match name {
                    "t" => entry.time = self.unsigned(&value),
                    "n" => entry.number = self.unsigned(&value),
                    "d" => entry.duration = self.unsigned(&value).unwrap_or(0),
                    "r" => {
                        let repeat = values::signed(&value);
                        entry.repeat = self.known(repeat, WarningKind::BadNumber).unwrap_or(0);
                    }
                    "k" => {
                        let len = self.unsigned(&value).unwrap_or(1);
                        entry.sequence_len = u32::try_from(len).unwrap_or(1).max(1);
                    }
                    _ => {}
                }
            }
            self.xml.skip()?;
            entries.push(entry);
        }
        Ok(entries)
    }
}
