//! From elements to the model: periods get their places, representations inherit, URLs resolve.

use std::sync::Arc;

use p2pcdn_wire::{MediaTime, UnixTime};

use super::{
    base::Place,
    elements::{
        Addressing, Common, PeriodElement, RepresentationElement, S, SegmentInfo, SetElement,
        UrlRange, inherited,
    },
    listing::{Clock, Listing, Names, Plan, Segments},
    model::{AdaptationSet, ContentType, DescriptorKind, Mpd, MpdResource, Period, Representation},
    periods::{PeriodExtent, extents, warn},
    read::Document,
    template::{Template, Values},
    timeline::{self, Extent, Sequences, Timeline},
};
use crate::{
    error::{ParseError, Warning, WarningKind},
    limits::{MAX_DESCRIPTORS, MAX_EXPANDED_LEN, MAX_TIMELINE_ENTRIES},
    runs::Scale,
};

/// Turns the elements of an MPD into the model.
pub(super) fn finish(
    document: Document,
    place: &Place,
    service_location: Option<&str>,
) -> Result<Mpd, ParseError> {
    let Document {
        head: mut mpd,
        base_urls,
        periods,
    } = document;
    let mut warnings = std::mem::take(&mut mpd.warnings);
    if mpd.is_dynamic && mpd.availability_start_time.is_none() {
        warn(&mut warnings, 0, WarningKind::NoAvailabilityStart);
    }
    let extents = extents(&periods, &mpd, &mut warnings);
    let mut finisher = Finisher {
        is_dynamic: mpd.is_dynamic,
        clock: Clock {
            availability_start: mpd
                .availability_start_time
                .unwrap_or(UnixTime::from_micros(0)),
            offset: 0,
            is_chunked: false,
            depth: mpd.time_shift_buffer_depth,
        },
        service_location,
        budget: MAX_EXPANDED_LEN,
        timeline_budget: 2 * MAX_TIMELINE_ENTRIES,
        last_timeline: None,
        last_template: None,
        warnings,
    };
    let top = finisher.enter(place, &base_urls)?;
    for (period, extent) in periods.into_iter().zip(extents) {
        let period = finisher.period(period, extent, top.as_ref())?;
        mpd.periods.push(period);
    }
    mpd.warnings = finisher.warnings;
    Ok(mpd)
}

struct Finisher<'a> {
    is_dynamic: bool,
    clock: Clock,
    service_location: Option<&'a str>,
    /// Bytes that resolved URLs may still take.
    budget: usize,
    /// Timeline entries that may still be turned into runs. Representations that share a timeline
    /// share its runs; without a limit, those that inherit one and change its timescale would take
    /// quadratic time and memory.
    timeline_budget: usize,
    last_timeline: Option<(TimelineKey, Timeline)>,
    last_template: Option<(Arc<str>, Template)>,
    warnings: Vec<Warning>,
}

/// What the runs of a written timeline depend on.
struct TimelineKey {
    entries: Arc<[S]>,
    scale: Scale,
    number: u64,
    extent: Extent,
    sequences: Sequences,
}

impl Finisher<'_> {
    /// `None` when the base URL cannot be resolved.
    fn enter(
        &mut self,
        place: &Place,
        urls: &[super::base::BaseUrl],
    ) -> Result<Option<Place>, ParseError> {
        if urls.is_empty() {
            return Ok(Some(place.clone()));
        }
        let entered = place.enter(urls, self.service_location);
        match &entered {
            Some(place) => self.spend(place.itself().url.len())?,
            None => self.warn(0, WarningKind::BadUrl),
        }
        Ok(entered)
    }

    fn period(
        &mut self,
        element: PeriodElement,
        extent: PeriodExtent,
        place: Option<&Place>,
    ) -> Result<Period, ParseError> {
        let place = place
            .map(|place| self.enter(place, &element.base_urls))
            .transpose()?;
        let mut context = Context {
            place: place.flatten(),
            segments: [element.segments.as_slice(), &[]],
            extent,
        };
        let mut adaptation_sets = Vec::with_capacity(element.sets.len());
        let at_period = context.place.clone();
        for set in element.sets {
            let place = at_period
                .as_ref()
                .map(|place| self.enter(place, &set.base_urls));
            context.place = place.transpose()?.flatten();
            adaptation_sets.push(self.adaptation_set(set, &context)?);
        }
        Ok(Period {
            id: element.id,
            start: extent.start,
            duration: extent.duration,
            asset: element.asset,
            adaptation_sets,
        })
    }

    fn adaptation_set(
        &mut self,
        element: SetElement,
        context: &Context<'_>,
    ) -> Result<AdaptationSet, ParseError> {
        let stated = element.content_type.as_deref();
        let common = element.common;
        let context = Context {
            place: context.place.clone(),
            segments: [context.segments[0], &element.segments],
            extent: context.extent,
        };
        let mut representations = Vec::with_capacity(element.representations.len());
        for own in element.representations {
            representations.push(self.representation(own, &common, stated, &context)?);
        }
        let first = representations.first().map(|first| first.content_type);
        let content_type = first.unwrap_or_else(|| {
            ContentType::new(
                stated,
                common.mime_type.as_deref(),
                common.codecs.as_deref(),
            )
        });
        const SWITCHING: &str = "urn:mpeg:dash:adaptation-set-switching:2016";
        let switching = common.properties.iter().filter(|property| {
            property.kind == DescriptorKind::Supplemental && &*property.scheme == SWITCHING
        });
        let values = switching.filter_map(|property| property.value.as_deref());
        let ids = values.flat_map(|value| value.split(',')).map(str::trim);
        Ok(AdaptationSet {
            id: element.id,
            content_type,
            lang: element.lang,
            mime_type: common.mime_type,
            codecs: common.codecs,
            switching_ids: ids
                .filter(|id| !id.is_empty())
                .take(MAX_DESCRIPTORS)
                .map(Arc::from)
                .collect(),
            properties: common.properties,
            representations,
        })
    }

    fn representation(
        &mut self,
        element: RepresentationElement,
        set: &Common,
        stated: Option<&str>,
        context: &Context<'_>,
    ) -> Result<Representation, ParseError> {
        let own = element.common;
        let mime_type = own.mime_type.or_else(|| set.mime_type.clone());
        let codecs = own.codecs.or_else(|| set.codecs.clone());
        let place = context.place.as_ref();
        let place = place
            .map(|place| self.enter(place, &element.base_urls))
            .transpose()?;
        let place = place.flatten();
        let info = inherited([&element.segments, context.segments[1], context.segments[0]]);
        let id = element.id.clone().unwrap_or_default();
        let named = Named {
            id: &id,
            bandwidth: element.bandwidth.unwrap_or(0),
            extent: context.extent,
        };
        let (plan, init) = match &place {
            Some(place) => (
                self.plan(info.as_ref(), place, &named)?,
                self.init(info.as_ref(), place, &named)?,
            ),
            None => (Plan::Fixed(Listing::Nothing), None),
        };
        Ok(Representation {
            content_type: ContentType::new(stated, mime_type.as_deref(), codecs.as_deref()),
            id: element.id,
            bandwidth: element.bandwidth,
            mime_type,
            codecs,
            width: own.width.or(set.width),
            height: own.height.or(set.height),
            frame_rate: own.frame_rate.or_else(|| set.frame_rate.clone()),
            audio_sampling_rate: own
                .audio_sampling_rate
                .or_else(|| set.audio_sampling_rate.clone()),
            is_protected: own.is_protected || set.is_protected,
            service_location: place.and_then(|place| place.service_location),
            init,
            properties: own.properties,
            plan,
        })
    }

    fn plan(
        &mut self,
        info: Option<&SegmentInfo>,
        place: &Place,
        named: &Named<'_>,
    ) -> Result<Plan, ParseError> {
        let Some(info) = info else {
            return Ok(single(place));
        };
        let (names, count) = match info.addressing {
            Addressing::Base => return Ok(self.indexed(info, place)),
            Addressing::Template => match &info.media {
                Some(media) => (self.template(media, info.line, place, named), None),
                None => return Ok(single(place)),
            },
            Addressing::List => match &info.urls {
                Some(urls) => {
                    let count = u64::try_from(urls.len()).unwrap_or(u64::MAX);
                    let urls = urls.clone();
                    let place = place.clone();
                    (Names::List { place, urls }, Some(count))
                }
                None => return Ok(single(place)),
            },
        };
        let mut timeline = self.timeline(info, count, names.sequences(), named)?;
        if let Some(kind) = timeline.warning.take() {
            self.warn(info.line, kind);
        }
        let mut runs = timeline.runs;
        if let Some(count) = count {
            // What is listed, the MPD says to be available.
            runs = runs.window(0, count);
            timeline.open_from = None;
        }
        // Where a timeline writes the segments out, players do not heed the last number.
        if let Some(last) = info.end_number.filter(|_| info.timeline.is_none()) {
            runs = runs.up_to_number(last);
        }
        let offset = info.availability_offset.unwrap_or(0);
        let offset = match place.availability_offset.saturating_add(offset) {
            // Everything at once (`INF`), of a period without a known end: only the clock tells
            // where it is.
            i64::MAX if named.extent.duration.is_none() => 0,
            offset => offset,
        };
        let complete = info.availability_complete.or(place.availability_complete);
        let clock = Clock {
            offset,
            is_chunked: complete == Some(false),
            ..self.clock
        };
        Ok(Plan::Segments(Segments {
            runs,
            names: Arc::new(names),
            open_from: timeline.open_from,
            clock: self.is_dynamic.then_some(clock),
            cut: Self::period_end(named).filter(|_| info.timeline.is_none() && count.is_none()),
        }))
    }

    /// Where the period of a representation ends, which its last segment may only seem to pass.
    fn period_end(named: &Named<'_>) -> Option<MediaTime> {
        Some(named.extent.start? + named.extent.duration?)
    }

    fn timeline(
        &mut self,
        info: &SegmentInfo,
        count: Option<u64>,
        sequences: Sequences,
        named: &Named<'_>,
    ) -> Result<Timeline, ParseError> {
        let scale = Scale {
            timescale: info.timescale.unwrap_or(1),
            offset: info.presentation_time_offset.unwrap_or(0),
            period_start: named.extent.start.unwrap_or(MediaTime::ZERO),
        };
        let extent = Extent {
            duration: named.extent.duration,
            is_dynamic: self.is_dynamic,
        };
        let number = info.start_number.unwrap_or(1);
        Ok(match (&info.timeline, info.duration, count) {
            (Some(entries), _, _) => {
                let entries = entries.clone();
                let key = TimelineKey {
                    entries,
                    scale,
                    number,
                    extent,
                    sequences,
                };
                return self.written(key, info.line);
            }
            (None, Some(duration), None) => {
                let last = info.end_number;
                timeline::constant(duration, scale, number, extent, last)
            }
            (None, Some(duration), Some(_)) => {
                // As many as are listed, however long the period.
                let endless = Extent {
                    duration: None,
                    is_dynamic: true,
                };
                timeline::constant(duration, scale, number, endless, None)
            }
            (None, None, count) => timeline::unspecified(count.unwrap_or(1), scale, number, extent),
        })
    }

    fn written(&mut self, key: TimelineKey, line: u32) -> Result<Timeline, ParseError> {
        if let Some((last, timeline)) = &self.last_timeline
            && Arc::ptr_eq(&last.entries, &key.entries)
            && (last.scale, last.number) == (key.scale, key.number)
            && (last.extent, last.sequences) == (key.extent, key.sequences)
        {
            let warning = None;
            return Ok(Timeline {
                warning,
                ..timeline.clone()
            });
        }
        let left = self.timeline_budget.checked_sub(key.entries.len());
        self.timeline_budget = left.ok_or(ParseError::TooMany { line })?;
        let timeline = timeline::written(
            &key.entries,
            key.scale,
            key.number,
            key.extent,
            key.sequences,
        );
        self.last_timeline = Some((key, timeline.clone()));
        Ok(timeline)
    }

    fn template(&mut self, media: &Arc<str>, line: u32, place: &Place, named: &Named<'_>) -> Names {
        let known = self
            .last_template
            .as_ref()
            .filter(|(text, _)| Arc::ptr_eq(text, media));
        let template = match known {
            Some((_, template)) => template.clone(),
            None => {
                let template = Template::new(media);
                if !template.is_sound {
                    self.warn(line, WarningKind::BadTemplate);
                }
                self.last_template = Some((media.clone(), template.clone()));
                template
            }
        };
        Names::Template {
            place: place.clone(),
            template,
            representation_id: named.id.into(),
            bandwidth: named.bandwidth,
        }
    }

    fn indexed(&mut self, info: &SegmentInfo, place: &Place) -> Plan {
        let elsewhere = info.index.as_ref().filter(|index| !index.url.is_empty());
        let range = info
            .index_range
            .or(info.index.as_ref().and_then(|index| index.range));
        if range.is_none() && elsewhere.is_none() {
            self.warn(info.line, WarningKind::NoIndexRange);
            return single(place);
        }
        let index = UrlRange {
            url: elsewhere.map(|index| index.url.clone()).unwrap_or_default(),
            range,
        };
        match resource(place, &index) {
            Some(index) => Plan::Fixed(Listing::Indexed {
                media: whole(place),
                index,
            }),
            None => single(place),
        }
    }

    fn init(
        &mut self,
        info: Option<&SegmentInfo>,
        place: &Place,
        named: &Named<'_>,
    ) -> Result<Option<MpdResource>, ParseError> {
        let Some(info) = info else {
            return Ok(None);
        };
        let by_template = info.addressing == Addressing::Template;
        let template = info.init_template.as_deref().filter(|_| by_template);
        let init = if let Some(template) = template {
            let filled = Template::for_init(template).fill(&Values {
                representation_id: named.id,
                bandwidth: named.bandwidth,
                number: 0,
                sub_number: 0,
                time: 0,
            });
            filled.and_then(|url| {
                let url = url.into();
                resource(place, &UrlRange { url, range: None })
            })
        } else if let Some(init) = &info.init {
            resource(place, init)
        } else {
            return Ok(None);
        };
        match &init {
            Some(init) => self.spend(init.url.len())?,
            None => self.warn(info.line, WarningKind::BadUrl),
        }
        Ok(init)
    }

    fn spend(&mut self, len: usize) -> Result<(), ParseError> {
        self.budget = self.budget.checked_sub(len).ok_or(ParseError::TooLong)?;
        Ok(())
    }

    fn warn(&mut self, line: u32, kind: WarningKind) {
        warn(&mut self.warnings, line, kind);
    }
}

/// What representations inherit.
struct Context<'a> {
    place: Option<Place>,
    /// Of the period and of the adaptation set.
    segments: [&'a [SegmentInfo]; 2],
    extent: PeriodExtent,
}

/// What a representation fills its templates with.
struct Named<'a> {
    id: &'a str,
    bandwidth: u64,
    extent: PeriodExtent,
}

/// A single resource: what the base URL leads to, if there is any.
fn single(place: &Place) -> Plan {
    Plan::Fixed(if place.is_explicit {
        Listing::Single(whole(place))
    } else {
        Listing::Nothing
    })
}

fn resource(place: &Place, reference: &UrlRange) -> Option<MpdResource> {
    let resolved = place.resolve(&reference.url)?;
    Some(MpdResource {
        url: resolved.url,
        first_url: resolved.first_url,
        range: reference.range,
    })
}

fn whole(place: &Place) -> MpdResource {
    let resolved = place.itself();
    MpdResource {
        url: resolved.url,
        first_url: resolved.first_url,
        range: None,
    }
}
