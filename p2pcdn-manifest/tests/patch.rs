//! Patched MPDs mean what the newer MPD says, and keep every byte that no operation touches.
#![cfg(feature = "dash")]

use p2pcdn_manifest::{PatchDocument, PatchError, apply_patch};
use proptest::prelude::*;

const MPD: &str = r#"<?xml version="1.0"?>
<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" id="m" type="dynamic" publishTime="2026-01-01T00:00:00Z">
  <PatchLocation ttl="60">p?t=0&amp;a=1</PatchLocation><!-- kept -->
  <Period  id='1'
    start="PT0S">
    <AdaptationSet id="1"><SegmentTemplate timescale="1"><SegmentTimeline>
      <S t="0" d="2" r="3"/>
      <S t="8" d="3"></S>
    </SegmentTimeline></SegmentTemplate></AdaptationSet>
    <AdaptationSet id="2" lang="en"><SegmentTemplate><SegmentTimeline/></SegmentTemplate></AdaptationSet>
  </Period>
</MPD>
"#;

fn patch_of(operations: &str) -> String {
    format!(
        "<Patch xmlns=\"urn:mpeg:dash:schema:mpd-patch:2020\" xmlns:e=\"urn:e\" mpdId=\"m\" \
         originalPublishTime=\"2026-01-01T00:00:00Z\" publishTime=\"2026-01-01T00:00:02Z\">\
         {operations}</Patch>"
    )
}

fn patched(operations: &str) -> Result<String, PatchError> {
    let patched = apply_patch(MPD.as_bytes(), patch_of(operations).as_bytes())?;
    Ok(String::from_utf8(patched).expect("text in gives text out"))
}

/// Checks that the operations change exactly these pieces of the text.
fn check(operations: &str, changes: &[(&str, &str)]) {
    let mut expected = MPD.to_owned();
    for (from, to) in changes {
        assert_eq!(expected.matches(from).count(), 1, "{from}");
        expected = expected.replace(from, to);
    }
    assert_eq!(patched(operations), Ok(expected), "{operations}");
}

#[test]
fn without_operations_nothing_changes() {
    check("", &[]);
    check("<!-- nothing -->\n", &[]);
}

#[test]
fn attributes_are_replaced_added_and_removed() {
    check(
        "<replace sel='/MPD/@publishTime'> 2026-01-01T00:00:02Z\n</replace>",
        &[("00:00:00Z", "00:00:02Z")],
    );
    check(
        "<replace sel=\"/MPD/Period[@id='1']/@id\">a'&amp;\"&lt;</replace>",
        &[("id='1'", "id='a&apos;&amp;\"&lt;'")],
    );
    check(
        "<add sel='/MPD/Period/AdaptationSet[2]/SegmentTemplate/SegmentTimeline' type='@x'>\"1\"</add>",
        &[(
            "<SegmentTimeline/>",
            "<SegmentTimeline x=\"&quot;1&quot;\"/>",
        )],
    );
    check(
        "<add sel='/MPD' type='namespace::f'>urn:f</add>",
        &[("00Z\">", "00Z\" xmlns:f=\"urn:f\">")],
    );
    check(
        "<remove sel='/MPD/Period/@start'/>",
        &[("\n    start=\"PT0S\"", "")],
    );
}

#[test]
fn elements_are_put_where_the_position_says() {
    let timeline = "/MPD/Period/AdaptationSet[@id='1']/SegmentTemplate/SegmentTimeline";
    check(
        &format!("<add sel=\"{timeline}\">\n  <S d='9'/>\n</add>"),
        &[(
            "</S>\n    </SegmentTimeline>",
            "</S>\n    <S d='9'/></SegmentTimeline>",
        )],
    );
    check(
        &format!("<add sel=\"{timeline}\" pos='prepend'><S d='9'/><S d='8'/></add>"),
        &[(
            "\n      <S t=\"0\"",
            "<S d='9'/><S d='8'/>\n      <S t=\"0\"",
        )],
    );
    check(
        &format!("<add sel=\"{timeline}/S[1]\" pos='after'><S d='9'/> <S d='8'/></add>"),
        &[("r=\"3\"/>", "r=\"3\"/><S d='9'/> <S d='8'/>")],
    );
    check(
        &format!("<add sel=\"{timeline}/S[@t='8']\" pos='before'><S d='9'/></add>"),
        &[("<S t=\"8\"", "<S d='9'/><S t=\"8\"")],
    );
    check(
        "<add sel=\"/MPD/Period/AdaptationSet[@lang='en'][@id='2']/SegmentTemplate/SegmentTimeline\"><S d='9'/></add>",
        &[(
            "<SegmentTimeline/>",
            "<SegmentTimeline><S d='9'/></SegmentTimeline>",
        )],
    );
}

#[test]
fn elements_are_replaced_and_removed() {
    check(
        "<replace sel='/MPD/PatchLocation[1]'>\n <PatchLocation>q</PatchLocation>\n</replace>",
        &[(
            "<PatchLocation ttl=\"60\">p?t=0&amp;a=1</PatchLocation>",
            "<PatchLocation>q</PatchLocation>",
        )],
    );
    check(
        "<replace sel='/MPD/PatchLocation/text()'>q&amp;r</replace>",
        &[("p?t=0&amp;a=1", "q&amp;r")],
    );
    let last = "/MPD/Period/AdaptationSet[1]/SegmentTemplate/SegmentTimeline/S[2]";
    check(
        &format!("<remove sel='{last}'/>"),
        &[("<S t=\"8\" d=\"3\"></S>", "")],
    );
    check(
        &format!("<remove sel='{last}' ws='before'/>"),
        &[("\n      <S t=\"8\" d=\"3\"></S>", "")],
    );
    check(
        "<remove sel='/MPD/PatchLocation' ws='both'/>",
        &[(
            "\n  <PatchLocation ttl=\"60\">p?t=0&amp;a=1</PatchLocation>",
            "",
        )],
    );
}

#[test]
fn later_operations_see_what_earlier_ones_did() {
    let timeline = "/MPD/Period[1]/AdaptationSet[1]/SegmentTemplate/SegmentTimeline";
    check(
        &format!(
            "<remove sel='{timeline}/S[1]'/><add sel='{timeline}' pos='prepend'><S t='2' d='2' r='2'/></add>\
             <replace sel='{timeline}/S[1]/@r'>1</replace><replace sel='{timeline}/S[2]/@t'>6</replace>\
             <add sel='/MPD/Period' pos='after'><Period id='n'/></add>\
             <add sel=\"/MPD/Period[@id='n']\"><AdaptationSet/></add>"
        ),
        &[
            ("<S t=\"0\" d=\"2\" r=\"3\"/>", ""),
            (
                "<SegmentTimeline>",
                "<SegmentTimeline><S t='2' d='2' r='1'/>",
            ),
            ("t=\"8\"", "t=\"6\""),
            (
                "</Period>",
                "</Period><Period id='n'><AdaptationSet/></Period>",
            ),
        ],
    );
}

#[test]
fn prefixes_that_only_the_patch_declares_are_declared() {
    check(
        "<add sel='/MPD/Period'><e:Event/><Other e='1'/></add>",
        &[(
            "  </Period>",
            "  <e:Event xmlns:e=\"urn:e\"/><Other e='1'/></Period>",
        )],
    );
}

#[test]
fn a_patch_for_another_mpd_is_refused() {
    let error = |patch: &str| apply_patch(MPD.as_bytes(), patch.as_bytes()).unwrap_err();
    let owned = |text: &str| Some(text.to_owned());
    let good = patch_of("");
    assert_eq!(
        error(&good.replace("mpdId=\"m\"", "mpdId=\"n\"")),
        PatchError::OtherMpd {
            mpd: owned("m"),
            patch: owned("n")
        }
    );
    assert_eq!(
        error(&good.replace("mpdId=\"m\"", "")),
        PatchError::OtherMpd {
            mpd: owned("m"),
            patch: None
        }
    );
    let time = "2026-01-01T00:00:00Z";
    assert_eq!(
        error(&good.replace(time, "2026-01-01T00:00:01Z")),
        PatchError::OtherTime {
            mpd: owned(time),
            patch: owned("2026-01-01T00:00:01Z")
        }
    );
    for same in ["2026-01-01T00:00:00.000Z", "2026-01-01T00:00:00+00:00"] {
        let patch = good.replace(time, same);
        assert_eq!(
            apply_patch(MPD.as_bytes(), patch.as_bytes()).unwrap(),
            MPD.as_bytes()
        );
    }
}

#[test]
fn what_cannot_be_done_is_an_error_of_its_kind() {
    let selector = |text: &str| text.to_owned();
    for (operation, expected) in [
        (
            "<remove sel='/MPD/Period[2]'/>",
            PatchError::NotFound {
                selector: selector("/MPD/Period[2]"),
            },
        ),
        (
            "<replace sel='/MPD/@none'>1</replace>",
            PatchError::NotFound {
                selector: selector("/MPD/@none"),
            },
        ),
        (
            "<remove sel='/MPD/Period/AdaptationSet'/>",
            PatchError::Ambiguous {
                selector: selector("/MPD/Period/AdaptationSet"),
            },
        ),
        (
            "<remove sel='//S[1]'/>",
            PatchError::BadSelector {
                selector: selector("//S[1]"),
            },
        ),
        (
            "<remove/>",
            PatchError::BadSelector {
                selector: String::new(),
            },
        ),
        (
            "<remove sel='/MPD'/>",
            PatchError::BadOperation {
                selector: selector("/MPD"),
            },
        ),
        (
            "<move sel='/MPD'/>",
            PatchError::BadOperation {
                selector: selector("/MPD"),
            },
        ),
        (
            "<add sel='/MPD' pos='after'><MPD/></add>",
            PatchError::BadOperation {
                selector: selector("/MPD"),
            },
        ),
        (
            "<add sel='/MPD' type='@ a='>1</add>",
            PatchError::BadOperation {
                selector: selector("/MPD"),
            },
        ),
        (
            "<replace sel='/MPD/Period'>x</replace>",
            PatchError::BadOperation {
                selector: selector("/MPD/Period"),
            },
        ),
        (
            "<replace sel='/MPD'><Other/></replace>",
            PatchError::NotAnMpd,
        ),
    ] {
        assert_eq!(patched(operation), Err(expected), "{operation}");
    }
    let malformed = |document, at| PatchError::Malformed { document, at };
    assert_eq!(
        apply_patch(b"<MPD>", b"<Patch/>"),
        Err(malformed(PatchDocument::Mpd, 5))
    );
    assert_eq!(
        apply_patch(b"<MPD/>", b"<Patch><"),
        Err(malformed(PatchDocument::Patch, 7))
    );
    assert_eq!(
        apply_patch(b"<Patch/>", b"<Patch/>"),
        Err(PatchError::NotAnMpd)
    );
    assert_eq!(
        apply_patch(b"<MPD/>", b"<MPD/>"),
        Err(PatchError::NotAPatch)
    );
}

/// Real pairs: lines `OLD PATCH NEW` in the file `list` of the folder that `P2PCDN_PATCHES` names,
/// if it does.
#[test]
fn real_patches_lead_to_the_newer_mpd() {
    let Some(folder) = std::env::var_os("P2PCDN_PATCHES") else {
        return;
    };
    let read = |name: &str| std::fs::read_to_string(std::path::Path::new(&folder).join(name));
    for line in read("list").unwrap().lines() {
        let names: Vec<&str> = line.split(' ').collect();
        let [old, patch, new] = names[..] else {
            panic!("three names: {line}");
        };
        let patched = apply_patch(
            read(old).unwrap().as_bytes(),
            read(patch).unwrap().as_bytes(),
        );
        let patched = String::from_utf8(patched.unwrap()).unwrap();
        assert_eq!(meaning(&patched), meaning(&read(new).unwrap()), "{line}");
    }
}

/// Elements, attributes in order of their names, and text, as lines.
fn meaning(text: &str) -> Vec<String> {
    let tree = roxmltree::Document::parse(text).expect("it is well-formed");
    let mut lines = Vec::new();
    for node in tree.root().descendants() {
        let depth = node.ancestors().count();
        if node.is_element() {
            let mut attributes: Vec<_> = node.attributes().map(|a| (a.name(), a.value())).collect();
            attributes.sort_unstable();
            lines.push(format!("{depth} {} {attributes:?}", node.tag_name().name()));
        } else if let Some(text) = node.text().filter(|text| !text.trim().is_empty()) {
            lines.push(format!("{depth} {}", text.trim()));
        }
    }
    lines
}

proptest! {
    #[test]
    fn any_operations_are_made_or_refused(
        operations in "(<(add|replace|remove) sel='/MPD(/(Period|AdaptationSet|S|@id|text\\(\\)|\\*)(\\[[0-3]\\])?){0,4}'( pos='(before|after|prepend)')?( type='@[a-z]')?>[a<>/b &;]{0,8}(<S/>)?</(add|replace|remove)>){0,4}"
    ) {
        if let Ok(patched) = patched(&operations) {
            // What comes out is well-formed: the empty patch applies to it, or its id has changed.
            let again = apply_patch(patched.as_bytes(), patch_of("").as_bytes());
            let is_refused = matches!(again, Err(PatchError::OtherMpd { .. }));
            prop_assert!(is_refused || again == Ok(patched.into_bytes()));
        }
    }

    #[test]
    fn any_bytes_are_patched_or_refused(mpd in any::<Vec<u8>>(), patch in any::<Vec<u8>>()) {
        let _ = apply_patch(&mpd, &patch);
        let _ = apply_patch(MPD.as_bytes(), &patch);
        let _ = apply_patch(&mpd, patch_of("").as_bytes());
    }

    #[test]
    fn a_damaged_patch_is_applied_or_refused(at in 0..400_usize, with in "[<>/'\"@\\[\\]a ]{0,3}") {
        let mut patch = patch_of(
            "<add sel=\"/MPD/Period[@id='1']/AdaptationSet[2]\" pos='after'><AdaptationSet id='3'>x</AdaptationSet></add>\
             <replace sel='/MPD/PatchLocation[1]'><PatchLocation/></replace>",
        );
        let at = at.min(patch.len());
        patch.replace_range(at..(at + 1).min(patch.len()), &with);
        let _ = apply_patch(MPD.as_bytes(), patch.as_bytes());
    }
}
