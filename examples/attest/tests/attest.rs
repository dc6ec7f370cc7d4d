//! The attester against an origin on the loopback interface.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::{net::Ipv4Addr, process::Command, time::Duration};

use axum::{Router, http::StatusCode, routing::get};
use p2pcdn::{
    Client, ClientConfig, SignedMap, SigningKey,
    manifest::{IdentityConfig, Presentation},
    transport::{HttpClient, HttpRequest, ReqwestClient, ReqwestConfig},
    wire::SegmentId,
};
use p2pcdn_example_attest::{Attester, Config, KeyFileError, generate_key, read_key};
use tokio::net::TcpListener;

const SEGMENT: &[u8] = &[7; 40_000];

/// Two segments and one that is not there.
const PLAYLIST: &str = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-PLAYLIST-TYPE:VOD\n\
    #EXTINF:2,\na.ts\n#EXTINF:2,\nmissing.ts\n#EXTINF:2,\nb.ts\n#EXT-X-ENDLIST\n";

async fn origin() -> String {
    let app = Router::new()
        .route("/index.m3u8", get(|| async { PLAYLIST }))
        .route("/a.ts", get(|| async { SEGMENT }))
        .route("/b.ts", get(|| async { &SEGMENT[..10] }))
        .fallback(|| async { StatusCode::NOT_FOUND });
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    format!("http://{address}/index.m3u8")
}

fn config(manifest_url: String, key: SigningKey) -> Config {
    Config {
        manifest_url,
        key,
        trackers: Vec::new(),
        identity: IdentityConfig::default(),
        headers: Vec::new(),
        bind: Some((Ipv4Addr::LOCALHOST, 0).into()),
    }
}

fn ids(presentation: &Presentation) -> Vec<SegmentId> {
    let segments = presentation.tracks[0].segments.as_ref().unwrap();
    segments.iter().map(|segment| segment.id).collect()
}

#[tokio::test]
async fn the_sidecar_serves_maps_that_viewers_can_verify() {
    let key = SigningKey::from_random([5; 32]);
    let public_key = key.public_key();
    let url = origin().await;
    let sidecar = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let sidecar_url = format!("http://{}", sidecar.local_addr().unwrap());
    let attester = Attester::start(config(url.clone(), key), sidecar)
        .await
        .unwrap();

    // A viewer names the segments as the attester does, without having heard of it.
    let viewer_config = ClientConfig {
        bind: Some((Ipv4Addr::LOCALHOST, 0).into()),
        ..ClientConfig::default()
    };
    let viewer = Client::open(&url, viewer_config).await.unwrap();
    let ids = ids(&viewer.presentation());
    let http = ReqwestClient::new(&ReqwestConfig::default()).unwrap();
    let map = |id: SegmentId| {
        let (http, url) = (&http, format!("{sidecar_url}/{id}"));
        async move {
            loop {
                let response = http.fetch(HttpRequest::get(&url)).await.unwrap();
                if response.status == 200 {
                    return collect(response).await;
                }
                assert_eq!(response.status, 404);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    };
    let waiting = async {
        for (id, bytes) in [(ids[0], SEGMENT), (ids[2], &SEGMENT[..10])] {
            let encoded = map(id).await;
            let map = SignedMap::verify(&encoded.into(), &[public_key]).unwrap();
            assert_eq!(map.segment(), id);
            assert_eq!(map.segment_len(), bytes.len() as u64);
            let first = bytes.chunks(16_384).next().unwrap();
            assert!(map.matches(0, first));
        }
    };
    tokio::time::timeout(Duration::from_secs(20), waiting)
        .await
        .expect("a segment that is not there does not hold up the others");
    assert_eq!(attester.signed_count(), 2);
    assert!(attester.origin_bytes().await >= 40_010);
    attester.close().await;
}

async fn collect(mut response: p2pcdn::transport::HttpResponse) -> Vec<u8> {
    use futures_util::StreamExt as _;
    let mut whole = Vec::new();
    while let Some(part) = response.body.next().await {
        whole.extend_from_slice(&part.unwrap());
    }
    whole
}

#[test]
fn a_key_file_is_made_once_and_read_back() {
    let folder = std::env::temp_dir().join(format!("attest-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("key");
    let public_key = generate_key(&file).unwrap();
    assert_eq!(read_key(&file).unwrap().public_key(), public_key);
    assert!(matches!(
        generate_key(&file),
        Err(KeyFileError::Write { .. })
    ));
    assert_eq!(
        read_key(&file).unwrap().public_key(),
        public_key,
        "a key is never overwritten"
    );
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    std::fs::write(folder.join("other"), "no key at all").unwrap();
    assert!(matches!(
        read_key(&folder.join("other")),
        Err(KeyFileError::Malformed { .. })
    ));
    assert!(matches!(
        read_key(&folder.join("absent")),
        Err(KeyFileError::Read { .. })
    ));
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn the_command_says_what_is_wrong() {
    let run = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_attest"))
            .args(arguments)
            .output()
            .unwrap();
        assert!(!output.status.success());
        assert!(output.stdout.is_empty());
        String::from_utf8(output.stderr).unwrap()
    };
    let missing = run(&[
        "run",
        "--key",
        "/does/not/exist",
        "http://127.0.0.1:1/x.m3u8",
    ]);
    assert!(
        missing.contains("/does/not/exist cannot be read"),
        "{missing}"
    );
    assert!(run(&["run", "http://127.0.0.1:1/x.m3u8"]).contains("--key"));
    let header = run(&[
        "run",
        "--key",
        "k",
        "--header",
        "no colon",
        "http://h/x.m3u8",
    ]);
    assert!(header.contains("must be NAME: VALUE"), "{header}");
    assert!(run(&["keygen", "/does/not/exist/key"]).contains("cannot be written"));
}

#[tokio::test]
async fn an_origin_that_is_not_there_is_an_error() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let closed = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("http://{}/index.m3u8", closed.local_addr().unwrap());
    drop(closed);
    let key = SigningKey::from_random([5; 32]);
    let error = Attester::start(config(url, key), listener)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("network error"), "{error}");
}
