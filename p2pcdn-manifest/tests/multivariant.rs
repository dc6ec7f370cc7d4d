//! Multivariant playlists, as written.
#![cfg(feature = "hls")]

use std::{sync::Arc, time::Duration};

use p2pcdn_manifest::{
    MAX_REPORTS, Manifest, Multivariant, SessionDataValue, VariantKind, WarningKind, parse,
};
use p2pcdn_wire::BitRate;

const BASE: &str = "https://cdn.example/vod/list.m3u8";

fn multivariant(text: &str) -> Multivariant {
    match parse(text.as_bytes(), BASE) {
        Ok(Manifest::Multivariant(multivariant)) => multivariant,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_multivariant_playlist_is_read_with_all_its_tags() {
    let list = multivariant(
        "#EXTM3U\n#EXT-X-INDEPENDENT-SEGMENTS\n#EXT-X-START:TIME-OFFSET=-12.5,PRECISE=YES\n\
         #EXT-X-CONTENT-STEERING:SERVER-URI=\"steer\",PATHWAY-ID=\"B\"\n\
         #EXT-X-SESSION-KEY:METHOD=SAMPLE-AES,URI=\"skd://1\"\n\
         #EXT-X-SESSION-DATA:DATA-ID=\"title\",VALUE=\"T, 1\",LANGUAGE=\"en\"\n\
         #EXT-X-SESSION-DATA:DATA-ID=\"lyrics\",URI=\"l.json\"\n\
         #EXT-X-SESSION-DATA:DATA-ID=\"raw\",URI=\"l.bin\",FORMAT=RAW\n\
         #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"n\",URI=\"u\",LANGUAGE=\"de\",ASSOC-LANGUAGE=\"en\",\
         DEFAULT=YES,AUTOSELECT=YES,CHARACTERISTICS=\"c,d\",CHANNELS=\"6/JOC\",STABLE-RENDITION-ID=\"r1\"\n\
         #EXT-X-MEDIA:TYPE=CLOSED-CAPTIONS,GROUP-ID=\"c\",NAME=\"m\",INSTREAM-ID=\"CC1\",FORCED=YES\n\
         #EXT-X-STREAM-INF:BANDWIDTH=2000.5,AVERAGE-BANDWIDTH=1000,SCORE=1.5,CODECS=\"x,y\",\
         SUPPLEMENTAL-CODECS=\"z/db1p\",RESOLUTION=640x360,FRAME-RATE=29.97,HDCP-LEVEL=TYPE-0,\
         ALLOWED-CPC=\"f:S\",VIDEO-RANGE=PQ,REQ-VIDEO-LAYOUT=\"CH-STEREO\",STABLE-VARIANT-ID=\"v1\",\
         AUDIO=\"a\",VIDEO=\"v\",SUBTITLES=\"s\",CLOSED-CAPTIONS=\"c\",NAME=\"nm\",PATHWAY-ID=\"B\"\nv.m3u8\n\
         #EXT-X-STREAM-INF:BANDWIDTH=1,CLOSED-CAPTIONS=NONE\nw.m3u8\n\
         #EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=3,URI=\"i.m3u8\"\n",
    );
    assert_eq!(list.warnings, []);
    let start = list.start.unwrap();
    assert_eq!(
        (start.offset, start.is_precise),
        (Duration::from_millis(12_500), true)
    );
    assert_eq!(start.origin, p2pcdn_manifest::StartOrigin::End);
    assert!(list.is_independent);
    let steering = list.steering.as_ref().unwrap();
    assert_eq!(&*steering.url, "https://cdn.example/vod/steer");
    assert_eq!(steering.pathway.as_deref(), Some("B"));
    assert_eq!(list.pathways(), ["B", "."]);
    assert_eq!(
        list.session_keys[0].url.as_ref().unwrap().as_str(),
        "skd://1"
    );
    let data: Vec<(&str, &SessionDataValue)> = list
        .session_data
        .iter()
        .map(|data| (&*data.id, &data.value))
        .collect();
    let url = |name: &str| Arc::from(format!("https://cdn.example/vod/{name}"));
    assert_eq!(
        data,
        [
            ("title", &SessionDataValue::Text("T, 1".into())),
            ("lyrics", &SessionDataValue::Json(url("l.json"))),
            ("raw", &SessionDataValue::Raw(url("l.bin"))),
        ]
    );
    let [audio, captions] = &list.renditions[..] else {
        panic!("{:?}", list.renditions);
    };
    assert!(audio.is_default && audio.is_autoselect && !audio.is_forced && captions.is_forced);
    let texts = [
        &audio.language,
        &audio.associated_language,
        &audio.characteristics,
        &audio.channels,
    ];
    let texts = texts.map(|text| text.as_deref().unwrap_or_default());
    assert_eq!(texts, ["de", "en", "c,d", "6/JOC"]);
    assert_eq!(audio.stable_id.as_deref(), Some("r1"));
    assert_eq!(captions.instream_id.as_deref(), Some("CC1"));
    let [v, w, i] = &list.variants[..] else {
        panic!("{:?}", list.variants);
    };
    assert_eq!(
        [v.kind, w.kind, i.kind],
        [
            VariantKind::Playback,
            VariantKind::Playback,
            VariantKind::IFrames
        ]
    );
    let rates = [v.bandwidth, v.average_bandwidth].map(|rate| rate.map(BitRate::as_bps));
    assert_eq!(rates, [Some(2000), Some(1000)]);
    let texts = [
        &v.score,
        &v.codecs,
        &v.supplemental_codecs,
        &v.frame_rate,
        &v.hdcp_level,
        &v.allowed_cpc,
        &v.video_range,
        &v.video_layout,
        &v.stable_id,
        &v.audio,
        &v.video,
        &v.subtitles,
        &v.closed_captions,
        &v.name,
        &v.pathway,
    ];
    assert_eq!(
        texts.map(|text| text.as_deref().unwrap_or_default()),
        [
            "1.5",
            "x,y",
            "z/db1p",
            "29.97",
            "TYPE-0",
            "f:S",
            "PQ",
            "CH-STEREO",
            "v1",
            "a",
            "v",
            "s",
            "c",
            "nm",
            "B"
        ]
    );
    assert_eq!(w.closed_captions, None);
}

#[test]
fn session_data_is_bounded_and_what_lacks_a_value_is_passed_over() {
    let one = "#EXT-X-SESSION-DATA:DATA-ID=\"i\",VALUE=\"\"\n";
    let list = multivariant(&format!("#EXTM3U\n{}", one.repeat(MAX_REPORTS + 1)));
    assert_eq!(list.session_data.len(), MAX_REPORTS);
    assert_eq!(list.warnings.len(), 1);
    assert_eq!(list.warnings[0].kind, WarningKind::TooManyEntries);
    let list = multivariant(
        "#EXTM3U\n#EXT-X-SESSION-DATA:DATA-ID=\"i\"\n#EXT-X-SESSION-DATA:VALUE=\"v\"\n",
    );
    assert_eq!(list.session_data, []);
    assert_eq!(list.warnings.len(), 2);
}

#[test]
fn steering_without_a_server_is_passed_over() {
    let list = multivariant("#EXTM3U\n#EXT-X-CONTENT-STEERING:PATHWAY-ID=\"a\"\n");
    assert_eq!(list.steering, None);
    assert_eq!(list.warnings[0].kind, WarningKind::BadUrl);
}
