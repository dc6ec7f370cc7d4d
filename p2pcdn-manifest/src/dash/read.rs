//! From XML to elements: one pass, tolerant of what players tolerate.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use p2pcdn_wire::{ByteRange, UnixTime};

use super::{
    base::{BaseUrl, Place},
    elements::{Common, PeriodElement, RepresentationElement, SetElement},
    model::{Descriptor, DescriptorKind, Mpd, PatchLocation, UtcTiming},
    values::{self, Read},
    xml::{Attributes, Element, Name, Xml},
};
use crate::{
    date::date,
    error::{Found, ParseError, WarningKind},
    key::KeyUrl,
    limits::{
        MAX_ADAPTATION_SETS, MAX_BASE_URLS, MAX_DESCRIPTORS, MAX_PERIODS, MAX_REPRESENTATIONS,
    },
};

/// Reads the elements of one MPD.
pub(super) struct Reader<'t> {
    pub(super) xml: Xml<'t>,
    /// What the URLs in the head of the MPD are relative to.
    pub(super) document: Place,
    pub(super) never_share: BTreeSet<KeyUrl>,
    control_urls: Vec<Arc<str>>,
    sets: usize,
    representations: usize,
    pub(super) timeline_entries: usize,
    pub(super) segment_urls: usize,
}

/// An MPD as written.
pub(super) struct Document {
    /// All but the periods.
    pub(super) head: Mpd,
    pub(super) base_urls: Vec<BaseUrl>,
    pub(super) periods: Vec<PeriodElement>,
}

impl<'t> Reader<'t> {
    pub(super) fn new(text: &'t str, document: Place) -> Self {
        Self {
            xml: Xml::new(text),
            document,
            never_share: BTreeSet::new(),
            control_urls: Vec::new(),
            sets: 0,
            representations: 0,
            timeline_entries: 0,
            segment_urls: 0,
        }
    }

    pub(super) fn read(mut self) -> Result<Document, ParseError> {
        let root = self.xml.root()?;
        let found = match root.name() {
            "MPD" => return self.mpd(&root),
            "Patch" => return Err(ParseError::UnexpectedPatch),
            name if name.eq_ignore_ascii_case("html") => Found::Html,
            _ => Found::Other,
        };
        Err(ParseError::NotAnMpd { found })
    }

    fn mpd(mut self, root: &Element<'_>) -> Result<Document, ParseError> {
        let mut head = self.head(root);
        let mut base_urls = Vec::new();
        let mut periods = Vec::new();
        let mut period_count = 0_usize;
        while let Some(element) = self.xml.child()? {
            match element.name() {
                "BaseURL" => self.base_url(&element, &mut base_urls)?,
                "Period" => {
                    period_count += 1;
                    if period_count > MAX_PERIODS {
                        return Err(self.xml.too_many());
                    }
                    periods.extend(self.period(&element)?);
                }
                "Location" => {
                    if let Some(url) = self.control_url()?
                        && head.locations.len() < MAX_DESCRIPTORS
                    {
                        head.locations.push(url);
                    }
                }
                "PatchLocation" => self.patch_location(&element, &mut head.patch_locations)?,
                "UTCTiming" => self.utc_timing(&element, &mut head.utc_timings)?,
                "ContentSteering" => {
                    self.control_url()?;
                }
                _ => self.other(&element, false)?,
            }
        }
        // Remote ones are not among those that are kept.
        if period_count == 0 {
            return Err(ParseError::NoPeriod);
        }
        head.never_share = self.never_share.into_iter().collect();
        head.control_urls = self.control_urls;
        head.warnings = self.xml.finish();
        Ok(Document {
            head,
            base_urls,
            periods,
        })
    }

    fn head(&mut self, root: &Element<'_>) -> Mpd {
        let mut head = Mpd {
            is_dynamic: false,
            availability_start_time: None,
            availability_end_time: None,
            publish_time: None,
            minimum_update_period: None,
            time_shift_buffer_depth: None,
            suggested_presentation_delay: None,
            media_presentation_duration: None,
            min_buffer_time: None,
            max_segment_duration: None,
            locations: Vec::new(),
            patch_locations: Vec::new(),
            utc_timings: Vec::new(),
            periods: Vec::new(),
            never_share: Vec::new(),
            control_urls: Vec::new(),
            warnings: Vec::new(),
        };
        for (name, value) in self.xml.attributes(root) {
            let Name::Plain(name) = name else { continue };
            match name {
                "type" => head.is_dynamic = value.trim() == "dynamic",
                "availabilityStartTime" => head.availability_start_time = self.date(&value),
                "availabilityEndTime" => head.availability_end_time = self.date(&value),
                "publishTime" => head.publish_time = self.date(&value),
                "minimumUpdatePeriod" => head.minimum_update_period = self.duration(&value),
                "timeShiftBufferDepth" => head.time_shift_buffer_depth = self.duration(&value),
                "suggestedPresentationDelay" => {
                    head.suggested_presentation_delay = self.duration(&value);
                }
                "mediaPresentationDuration" => {
                    head.media_presentation_duration = self.duration(&value);
                }
                "minBufferTime" => head.min_buffer_time = self.duration(&value),
                "maxSegmentDuration" => head.max_segment_duration = self.duration(&value),
                _ => {}
            }
        }
        head
    }

    /// `None` when it is remote and has nothing of its own.
    fn period(&mut self, element: &Element<'_>) -> Result<Option<PeriodElement>, ParseError> {
        let attributes = self.xml.attributes(element);
        let remote = self.remote(&attributes);
        let mut period = PeriodElement {
            line: self.xml.line(),
            ..PeriodElement::default()
        };
        for (name, value) in &attributes {
            match name {
                Name::Plain("id") => period.id = Some((&**value).into()),
                Name::Plain("start") => period.start = self.duration(value),
                Name::Plain("duration") => period.duration = self.duration(value),
                _ => {}
            }
        }
        while let Some(element) = self.xml.child()? {
            match element.name() {
                "BaseURL" => self.base_url(&element, &mut period.base_urls)?,
                "AdaptationSet" => period.sets.extend(self.adaptation_set(&element)?),
                "SegmentTemplate" | "SegmentList" | "SegmentBase" => {
                    let info = self.segment_info(&element)?;
                    push_capped(&mut period.segments, info);
                }
                "AssetIdentifier" => {
                    let asset = self.descriptor(&element, DescriptorKind::Asset)?;
                    period.asset = period.asset.or(asset);
                }
                _ => self.other(&element, false)?,
            }
        }
        let is_kept = match remote {
            Remote::No => true,
            Remote::Yes => !period.sets.is_empty(),
            Remote::Nothing => false,
        };
        Ok(is_kept.then_some(period))
    }

    fn adaptation_set(&mut self, element: &Element<'_>) -> Result<Option<SetElement>, ParseError> {
        self.sets += 1;
        if self.sets > MAX_ADAPTATION_SETS {
            return Err(self.xml.too_many());
        }
        let attributes = self.xml.attributes(element);
        let remote = self.remote(&attributes);
        let mut set = SetElement::default();
        for (name, value) in &attributes {
            let Name::Plain(name) = name else { continue };
            match *name {
                "id" => set.id = Some((&**value).into()),
                "contentType" => set.content_type = Some((&**value).into()),
                "lang" => set.lang = Some((&**value).into()),
                name => self.common(name, value, &mut set.common),
            }
        }
        while let Some(element) = self.xml.child()? {
            match element.name() {
                "BaseURL" => self.base_url(&element, &mut set.base_urls)?,
                "Representation" => {
                    let representation = self.representation(&element)?;
                    set.representations.push(representation);
                }
                "SegmentTemplate" | "SegmentList" | "SegmentBase" => {
                    let info = self.segment_info(&element)?;
                    push_capped(&mut set.segments, info);
                }
                "ContentComponent" => {
                    let attributes = self.xml.attributes(&element);
                    for (name, value) in &attributes {
                        if *name == Name::Plain("contentType") && set.content_type.is_none() {
                            set.content_type = Some((&**value).into());
                        }
                    }
                    self.other(&element, false)?;
                }
                _ => self.common_element(&element, &mut set.common)?,
            }
        }
        let is_kept = match remote {
            Remote::No => true,
            Remote::Yes => !set.representations.is_empty(),
            Remote::Nothing => false,
        };
        Ok(is_kept.then_some(set))
    }

    fn representation(
        &mut self,
        element: &Element<'_>,
    ) -> Result<RepresentationElement, ParseError> {
        self.representations += 1;
        if self.representations > MAX_REPRESENTATIONS {
            return Err(self.xml.too_many());
        }
        let mut representation = RepresentationElement::default();
        for (name, value) in self.xml.attributes(element) {
            let Name::Plain(name) = name else { continue };
            match name {
                "id" => representation.id = Some((&*value).into()),
                "bandwidth" => representation.bandwidth = self.unsigned(&value),
                name => self.common(name, &value, &mut representation.common),
            }
        }
        while let Some(element) = self.xml.child()? {
            match element.name() {
                "BaseURL" => self.base_url(&element, &mut representation.base_urls)?,
                "SegmentTemplate" | "SegmentList" | "SegmentBase" => {
                    let info = self.segment_info(&element)?;
                    push_capped(&mut representation.segments, info);
                }
                _ => self.common_element(&element, &mut representation.common)?,
            }
        }
        Ok(representation)
    }

    fn common(&mut self, name: &str, value: &str, common: &mut Common) {
        match name {
            "mimeType" => common.mime_type = Some(value.into()),
            "codecs" => common.codecs = Some(value.into()),
            "width" => common.width = self.unsigned(value),
            "height" => common.height = self.unsigned(value),
            "frameRate" => common.frame_rate = Some(value.into()),
            "audioSamplingRate" => common.audio_sampling_rate = Some(value.into()),
            _ => {}
        }
    }

    fn common_element(
        &mut self,
        element: &Element<'_>,
        common: &mut Common,
    ) -> Result<(), ParseError> {
        let kind = match element.name() {
            "Role" => DescriptorKind::Role,
            "Accessibility" => DescriptorKind::Accessibility,
            "EssentialProperty" => DescriptorKind::Essential,
            "SupplementalProperty" => DescriptorKind::Supplemental,
            "AudioChannelConfiguration" => DescriptorKind::AudioChannels,
            "ContentProtection" => {
                common.is_protected = true;
                return self.other(element, true);
            }
            _ => return self.other(element, false),
        };
        if let Some(descriptor) = self.descriptor(element, kind)? {
            if common.properties.len() < MAX_DESCRIPTORS {
                common.properties.push(descriptor);
            } else {
                self.xml.warn(WarningKind::TooManyElements);
            }
        }
        Ok(())
    }

    fn descriptor(
        &mut self,
        element: &Element<'_>,
        kind: DescriptorKind,
    ) -> Result<Option<Descriptor>, ParseError> {
        let (scheme, value) = self.scheme(element);
        self.other(element, false)?;
        Ok(scheme.map(|scheme| Descriptor {
            kind,
            scheme,
            value,
        }))
    }

    fn scheme(&mut self, element: &Element<'_>) -> (Option<Arc<str>>, Option<Arc<str>>) {
        let (mut scheme, mut of_scheme) = (None, None);
        for (name, value) in self.xml.attributes(element) {
            match name {
                Name::Plain("schemeIdUri") => scheme = Some((&*value).into()),
                Name::Plain("value") => of_scheme = Some((&*value).into()),
                _ => {}
            }
        }
        (scheme, of_scheme)
    }

    fn base_url(
        &mut self,
        element: &Element<'_>,
        urls: &mut Vec<BaseUrl>,
    ) -> Result<(), ParseError> {
        let mut base = BaseUrl {
            priority: 1,
            ..BaseUrl::default()
        };
        for (name, value) in self.xml.attributes(element) {
            match name {
                Name::Plain("serviceLocation") => base.service_location = Some((&*value).into()),
                Name::Plain("availabilityTimeOffset") => {
                    base.availability_offset = self.seconds(&value).unwrap_or(0);
                }
                Name::Plain("availabilityTimeComplete") => {
                    base.availability_complete = self.boolean(&value);
                }
                Name::Prefixed("priority") => {
                    base.priority = self.unsigned(&value).unwrap_or(1);
                }
                _ => {}
            }
        }
        let Some(url) = self.xml.content()? else {
            return Ok(());
        };
        base.url = url;
        if urls.len() < MAX_BASE_URLS {
            urls.push(base);
        } else {
            self.xml.warn(WarningKind::TooManyElements);
        }
        Ok(())
    }

    fn patch_location(
        &mut self,
        element: &Element<'_>,
        patches: &mut Vec<PatchLocation>,
    ) -> Result<(), ParseError> {
        let mut ttl = None;
        for (name, value) in self.xml.attributes(element) {
            if name == Name::Plain("ttl") {
                let nanos = self.seconds(&value);
                ttl = nanos.and_then(|nanos| u64::try_from(nanos).ok());
            }
        }
        if let Some(url) = self.control_url()?
            && patches.len() < MAX_DESCRIPTORS
        {
            let ttl = ttl.map(Duration::from_nanos);
            patches.push(PatchLocation { url, ttl });
        }
        Ok(())
    }

    fn utc_timing(
        &mut self,
        element: &Element<'_>,
        timings: &mut Vec<UtcTiming>,
    ) -> Result<(), ParseError> {
        if let (Some(scheme), Some(value)) = self.scheme(element)
            && timings.len() < MAX_DESCRIPTORS
        {
            if scheme.contains(":http-") {
                for url in value.split_ascii_whitespace() {
                    self.add_control_url(url);
                }
            }
            timings.push(UtcTiming { scheme, value });
        }
        self.other(element, false)
    }

    /// The text of the element last opened, as a URL that is never shared.
    fn control_url(&mut self) -> Result<Option<Arc<str>>, ParseError> {
        let text = self.xml.content()?.unwrap_or_default();
        Ok(self.add_control_url(&text))
    }

    fn add_control_url(&mut self, url: &str) -> Option<Arc<str>> {
        if url.is_empty() {
            return None;
        }
        let Some(resolved) = self.document.resolve(url) else {
            self.xml.warn(WarningKind::BadUrl);
            return None;
        };
        if self.control_urls.len() < MAX_DESCRIPTORS {
            self.control_urls.push(resolved.url.clone());
        } else {
            self.xml.warn(WarningKind::TooManyElements);
        }
        Some(resolved.url)
    }

    pub(super) fn remote(&mut self, attributes: &Attributes<'_>) -> Remote {
        let href = attributes
            .iter()
            .find_map(|(name, value)| (*name == Name::Prefixed("href")).then_some(value.trim()));
        match href {
            None => Remote::No,
            Some("urn:mpeg:dash:resolve-to-zero:2013") => Remote::Nothing,
            Some(url) => {
                self.xml.warn(WarningKind::XlinkUnsupported);
                self.add_control_url(url);
                Remote::Yes
            }
        }
    }

    pub(super) fn unsigned(&mut self, value: &str) -> Option<u64> {
        self.checked(values::unsigned(value), WarningKind::BadNumber)
    }

    pub(super) fn duration(&mut self, value: &str) -> Option<Duration> {
        self.checked(values::duration(value), WarningKind::BadDuration)
    }

    pub(super) fn seconds(&mut self, value: &str) -> Option<i64> {
        self.known(values::seconds(value), WarningKind::BadDuration)
    }

    pub(super) fn boolean(&mut self, value: &str) -> Option<bool> {
        self.known(values::boolean(value), WarningKind::BadAttribute)
    }

    pub(super) fn byte_range(&mut self, value: &str) -> Option<ByteRange> {
        self.known(values::byte_range(value), WarningKind::BadByteRange)
    }

    fn date(&mut self, value: &str) -> Option<UnixTime> {
        self.known(date(value), WarningKind::BadDate)
    }

    fn checked<T>(&mut self, read: Read<T>, kind: WarningKind) -> Option<T> {
        let (value, is_good) = match read {
            Read::Good(value) => (Some(value), true),
            Read::Repaired(value) => (Some(value), false),
            Read::Bad => (None, false),
        };
        if !is_good {
            self.xml.warn(kind);
        }
        value
    }

    pub(super) fn known<T>(&mut self, value: Option<T>, kind: WarningKind) -> Option<T> {
        if value.is_none() {
            self.xml.warn(kind);
        }
        value
    }
}

/// Whether an element is to be loaded from elsewhere (`xlink:href`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Remote {
    No,
    Yes,
    /// It is to be taken away.
    Nothing,
}

/// One of each way to name segments is as many as can count.
fn push_capped<T>(list: &mut Vec<T>, info: Option<T>) {
    if list.len() < 3 {
        list.extend(info);
    }
}
