//! The HTTP client against a server that answers byte for byte what the test says.
#![cfg(feature = "tokio")]
#![allow(clippy::disallowed_methods, reason = "a test over real sockets")]

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use futures_util::StreamExt as _;
use p2pcdn_transport::{
    HttpClient as _, HttpError, HttpMethod, HttpRange, HttpRequest, HttpResponse, ReqwestClient,
    ReqwestConfig,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::oneshot,
};

async fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.expect("a request"));
    }
    String::from_utf8_lossy(&head).into_owned()
}

async fn listen() -> (TcpListener, String) {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let listener = TcpListener::bind(any).await.expect("loopback");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    (listener, url)
}

/// A server that answers one request per answer, each on a connection of its own, then closes it.
/// Gives the heads of the requests when it is through.
async fn serve(answers: Vec<Vec<u8>>) -> (String, tokio::task::JoinHandle<Vec<String>>) {
    let (listener, url) = listen().await;
    let server = tokio::spawn(async move {
        let mut heads = Vec::new();
        for answer in answers {
            let (mut stream, _) = listener.accept().await.expect("a client");
            heads.push(read_head(&mut stream).await);
            stream.write_all(&answer).await.expect("a listening client");
            stream.shutdown().await.expect("a listening client");
        }
        heads
    });
    (url, server)
}

fn client() -> ReqwestClient {
    ReqwestClient::new(&ReqwestConfig::default()).expect("a client")
}

async fn body(response: HttpResponse) -> Result<Vec<u8>, HttpError> {
    let pieces: Vec<Result<Bytes, HttpError>> = response.body.collect().await;
    let pieces: Result<Vec<Bytes>, HttpError> = pieces.into_iter().collect();
    Ok(pieces?.concat())
}

#[tokio::test]
async fn a_range_is_asked_for_and_the_headers_are_the_callers() {
    let answer =
        b"HTTP/1.1 206 Partial Content\r\nContent-Length: 4\r\nX-Two: a\r\nX-Two: b\r\n\r\nbyte";
    let (url, server) = serve(vec![answer.to_vec()]).await;
    let request = HttpRequest {
        headers: vec![
            ("Cookie".to_owned(), b"token=1; x=\xff".to_vec()),
            ("Range".to_owned(), b"bytes=0-".to_vec()),
        ],
        range: Some(HttpRange {
            start: 100,
            end: Some(104),
        }),
        ..HttpRequest::get(format!("{url}/segment.m4s?sig=abc"))
    };
    let response = client().fetch(request).await.expect("a head");
    assert_eq!(response.status, 206);
    assert_eq!(response.header("content-length"), Some("4"));
    let twice = response.headers.iter().filter(|(name, _)| name == "x-two");
    assert_eq!(twice.count(), 2);
    assert_eq!(response.final_url, format!("{url}/segment.m4s?sig=abc"));
    assert_eq!(body(response).await, Ok(b"byte".to_vec()));
    let head = &server.await.expect("served")[0];
    assert!(head.starts_with("GET /segment.m4s?sig=abc HTTP/1.1\r\n"));
    let lower = head.to_lowercase();
    assert_eq!(lower.matches("range:").count(), 1);
    assert!(lower.contains("range: bytes=100-103\r\n"));
    assert!(
        !lower.contains("accept-encoding"),
        "bodies stay as they are"
    );
}

#[tokio::test]
async fn a_head_request_has_no_body() {
    let (url, server) = serve(vec![
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n".to_vec(),
    ])
    .await;
    let request = HttpRequest {
        method: HttpMethod::Head,
        ..HttpRequest::get(url)
    };
    let response = client().fetch(request).await.expect("a head");
    assert_eq!(body(response).await, Ok(Vec::new()));
    assert!(server.await.expect("served")[0].starts_with("HEAD / "));
}

#[tokio::test]
async fn pieces_arrive_before_the_body_is_complete() {
    let (listener, url) = listen().await;
    let (proceed, wait) = oneshot::channel();
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a client");
        read_head(&mut stream).await;
        let first = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst";
        stream.write_all(first).await.expect("a listening client");
        wait.await.expect("the client proceeds");
        stream
            .write_all(b"later")
            .await
            .expect("a listening client");
    });
    let mut response = client().fetch(HttpRequest::get(url)).await.expect("a head");
    let first = response.body.next().await.expect("a piece").expect("bytes");
    assert_eq!(first, "first");
    proceed.send(()).expect("the server waits");
    assert_eq!(body(response).await, Ok(b"later".to_vec()));
    server.await.expect("served");
}

#[tokio::test]
async fn dropping_the_body_ends_the_connection() {
    let (listener, url) = listen().await;
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a client");
        read_head(&mut stream).await;
        let head = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n";
        stream.write_all(head).await.expect("a listening client");
        let mut sent = 0u64;
        while stream.write_all(&[0; 16_384]).await.is_ok() {
            sent += 16_384;
        }
        sent
    });
    let mut response = client().fetch(HttpRequest::get(url)).await.expect("a head");
    response.body.next().await.expect("a piece").expect("bytes");
    drop(response);
    let sent = tokio::time::timeout(Duration::from_secs(10), server).await;
    assert!(sent.expect("ends").expect("served") < 1_000_000_000);
}

#[tokio::test]
async fn a_body_cut_short_is_a_reset_after_what_came() {
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf";
    let (url, _server) = serve(vec![answer.to_vec()]).await;
    let mut response = client().fetch(HttpRequest::get(url)).await.expect("a head");
    assert_eq!(
        response.body.next().await,
        Some(Ok(Bytes::from_static(b"half")))
    );
    assert_eq!(response.body.next().await, Some(Err(HttpError::Reset)));
    assert_eq!(response.body.next().await, None);
}

#[tokio::test]
async fn redirects_are_followed_and_the_last_address_is_known() {
    let redirect = |to: &str| {
        format!(
            "HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        )
    };
    let found = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_vec();
    let (url, _server) = serve(vec![redirect("/b?x=1").into_bytes(), found]).await;
    let response = client()
        .fetch(HttpRequest::get(format!("{url}/a")))
        .await
        .expect("a head");
    assert_eq!(response.final_url, format!("{url}/b?x=1"));

    let (url, _server) = serve(vec![redirect("/again").into_bytes(); 11]).await;
    let error = client()
        .fetch(HttpRequest::get(url))
        .await
        .map(|response| response.status);
    assert_eq!(error, Err(HttpError::Redirect));
}

#[tokio::test]
async fn what_goes_wrong_before_the_head_is_told_apart() {
    async fn error(url: String) -> HttpError {
        let fetched = client().fetch(HttpRequest::get(url)).await;
        fetched
            .map(|response| response.status)
            .expect_err("an error")
    }
    let (listener, url) = listen().await;
    drop(listener);
    assert_eq!(error(url).await, HttpError::Connect);

    let (url, _server) = serve(vec![b"SSH-2.0-nonsense\r\n\r\n".to_vec()]).await;
    assert_eq!(error(url).await, HttpError::Protocol);

    let (url, _server) = serve(vec![Vec::new()]).await;
    assert_eq!(error(url).await, HttpError::Reset);

    assert_eq!(
        error("not a url".to_owned()).await,
        HttpError::InvalidRequest
    );

    let (listener, url) = listen().await;
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a client");
        let _ = stream.write_all(b"this is not TLS at all").await;
        // Closing with unread bytes would reset the connection instead.
        let _ = stream.read_to_end(&mut Vec::new()).await;
    });
    assert_eq!(error(url.replace("http:", "https:")).await, HttpError::Tls);
}

#[tokio::test]
async fn malformed_headers_and_ranges_never_leave() {
    let bad_header = HttpRequest {
        headers: vec![("X".to_owned(), b"a\r\nb".to_vec())],
        ..HttpRequest::get("http://127.0.0.1:1/")
    };
    let empty_range = HttpRequest {
        range: Some(HttpRange {
            start: 5,
            end: Some(5),
        }),
        ..HttpRequest::get("http://127.0.0.1:1/")
    };
    for request in [bad_header, empty_range] {
        let error = client()
            .fetch(request)
            .await
            .map(|response| response.status);
        assert_eq!(error, Err(HttpError::InvalidRequest));
    }
}
