//! The form of a URL that all viewers agree on.

use std::fmt;

use crate::identity::{IdentityConfig, PathToken};

/// A URL as it enters names: without what differs between viewers of the same bytes.
///
/// User info, fragment, default port and known access tokens are gone, the host is in lower case
/// or replaced by its declared group, percent escapes are in upper case, the query is sorted by
/// the names of its parameters. All the rest stays: a wrong "different" costs bandwidth, a wrong "same" plays the wrong bytes.
/// Written by hand on normalised URLs, so that builds with and without the `url` crate agree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Canonical {
    /// `scheme://host` with a port that is not the default, or `group:name`.
    origin: String,
    path: String,
    /// Sorted by names, without `?`; empty for none.
    query: String,
}

impl Canonical {
    pub(crate) fn new(url: &str, config: &IdentityConfig) -> Self {
        let url = url.split('#').next().unwrap_or_default();
        let (scheme, rest) = match url.split_once("://") {
            Some((scheme, rest)) if scheme.bytes().all(|b| b.is_ascii_alphanumeric()) => {
                (scheme.to_ascii_lowercase(), rest)
            }
            // `data:` and the like have no parts to normalise.
            _ => {
                return Self {
                    origin: String::new(),
                    path: url.to_owned(),
                    query: String::new(),
                };
            }
        };
        let (authority, rest) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let path = if path.is_empty() { "/" } else { path };
        Self {
            origin: origin(&scheme, authority, config),
            path: upper_escapes(&strip_path(path, &config.path_tokens)),
            query: canonical_query(query, config),
        }
    }

    /// Scheme and host, or the host's group.
    pub(crate) fn origin(&self) -> &str {
        &self.origin
    }

    /// The part of it that is below the directory of `playlist`, with the query; all of it when
    /// it lies elsewhere, or when that part could be taken for a URL that does.
    pub(crate) fn below(&self, playlist: &Self) -> String {
        let dir = playlist
            .path
            .rfind('/')
            .and_then(|slash| playlist.path.get(..=slash));
        let suffix = dir
            .filter(|_| self.origin == playlist.origin)
            .and_then(|dir| self.path.strip_prefix(dir))
            .filter(|suffix| !(suffix.contains("://") || suffix.starts_with("group:")));
        match suffix {
            Some(suffix) => with_query(suffix, &self.query),
            None => self.to_string(),
        }
    }
}

impl fmt::Display for Canonical {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.origin)?;
        f.write_str(&with_query(&self.path, &self.query))
    }
}

fn with_query(path: &str, query: &str) -> String {
    if query.is_empty() {
        path.to_owned()
    } else {
        format!("{path}?{query}")
    }
}

fn origin(scheme: &str, authority: &str, config: &IdentityConfig) -> String {
    let host = authority.rsplit('@').next().unwrap_or_default();
    let host = host.to_ascii_lowercase();
    let default_port = match scheme {
        "http" => ":80",
        "https" => ":443",
        _ => "",
    };
    let host = host.strip_suffix(default_port).unwrap_or(&host);
    let group = config.host_groups.iter().find(|group| {
        group
            .hosts
            .iter()
            .any(|member| member.eq_ignore_ascii_case(host))
    });
    match group {
        // Every other origin has `://` in it, unlike this one up to its first slash.
        Some(group) => format!("group:{}", group.name),
        None => format!("{scheme}://{host}"),
    }
}

fn canonical_query(query: &str, config: &IdentityConfig) -> String {
    let fields: Vec<(&str, &str)> = query
        .split('&')
        .filter(|field| !field.is_empty())
        .map(|field| (field.split('=').next().unwrap_or_default(), field))
        .collect();
    let secure_link = is_secure_link(&fields);
    let mut kept: Vec<String> = fields
        .iter()
        .filter(|(name, field)| {
            let name = name.to_ascii_lowercase();
            let declared = config
                .session_parameters
                .iter()
                .any(|parameter| parameter.eq_ignore_ascii_case(&name));
            let expiry = name == "exp" && is_unix_time(value(field));
            let link = secure_link && (name == "st" || name == "e");
            !(declared || expiry || link || is_session_parameter(&name))
        })
        .map(|(_, field)| upper_escapes(field))
        .collect();
    // Of several values of one parameter, the first or the last may be what counts.
    let name = |field: &String| field.split('=').next().map(str::to_owned);
    kept.sort_by_cached_key(name);
    kept.join("&")
}

/// Whether a query parameter, its name in lower case, is known to carry access or session data and
/// nothing else.
///
/// Akamai, CloudFront, Amazon S3, Google Media CDN and Nimble Streamer tokens, session ids, and
/// what players add (LL-HLS directives, CMCD). Names that are also used to choose content (`id`,
/// `sid`, `uid`) are not here: a publisher who knows better declares them.
fn is_session_parameter(name: &str) -> bool {
    const KNOWN: [&str; 17] = [
        "cmcd",
        "expires",
        "hdnea",
        "hdntl",
        "hdnts",
        "key-pair-id",
        "keyname",
        "policy",
        "sessionid",
        "sig",
        "signature",
        "token",
        "urlprefix",
        "wmsauthsign",
        "access_token",
        "edge-cache-token",
        "jwt",
    ];
    KNOWN.contains(&name) || name.starts_with("x-amz-") || name.starts_with("_hls_")
}

/// nginx' secure_link habit `st=<hash>&e=<expiry>`. Alone, either letter may as well choose an
/// episode.
fn is_secure_link(fields: &[(&str, &str)]) -> bool {
    let has = |wanted: &str, check: fn(&str) -> bool| {
        fields
            .iter()
            .any(|(name, field)| *name == wanted && check(value(field)))
    };
    has("st", |hash| hash.len() >= 22) && has("e", is_unix_time)
}

fn value(field: &str) -> &str {
    field.split_once('=').map_or("", |(_, value)| value)
}

/// Whether it can be an expiry date: ten digits at least, that is from 2001 on.
fn is_unix_time(text: &str) -> bool {
    text.len() >= 10 && text.bytes().all(|b| b.is_ascii_digit())
}

fn strip_path(path: &str, tokens: &[PathToken]) -> String {
    if tokens.is_empty() {
        return path.to_owned();
    }
    let kept: Vec<String> = path
        .split('/')
        .filter(|part| !tokens.iter().any(|token| token.is_part(part)))
        .map(|part| {
            tokens
                .iter()
                .fold(part.to_owned(), |part, token| token.cut(&part))
        })
        .collect();
    kept.join("/")
}

fn upper_escapes(text: &str) -> String {
    if !text.contains('%') {
        return text.to_owned();
    }
    let mut upper = String::with_capacity(text.len());
    let mut escaped = 0;
    for c in text.chars() {
        if c == '%' {
            escaped = 2;
            upper.push(c);
        } else if escaped > 0 && c.is_ascii_hexdigit() {
            escaped -= 1;
            upper.push(c.to_ascii_uppercase());
        } else {
            escaped = 0;
            upper.push(c);
        }
    }
    upper
}

impl PathToken {
    /// Whether this whole part of a path is a token.
    fn is_part(&self, part: &str) -> bool {
        match self {
            Self::Akamai => {
                let named = ["hdnts=", "hdntl=", "hdnea=", "exp=", "st="]
                    .iter()
                    .any(|prefix| part.starts_with(prefix));
                named && part.contains("hmac=")
            }
            Self::Prefix(prefix) => !prefix.is_empty() && part.starts_with(prefix.as_str()),
            Self::Wowza => false,
        }
    }

    /// The part without the token inside it.
    fn cut(&self, part: &str) -> String {
        if *self != Self::Wowza {
            return part.to_owned();
        }
        let mut pieces = part.split("_w");
        let mut kept = pieces.next().unwrap_or_default().to_owned();
        for piece in pieces {
            let after = piece.trim_start_matches(|c: char| c.is_ascii_digit());
            if after.len() == piece.len() {
                kept.push_str("_w");
            }
            kept.push_str(after);
        }
        kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::HostGroup;

    fn canonical(url: &str) -> String {
        Canonical::new(url, &IdentityConfig::default()).to_string()
    }

    #[test]
    fn what_names_the_same_resource_is_written_the_same() {
        let expected = "https://cdn.example/A/b.ts?a=1&b=%2F";
        assert_eq!(canonical("https://cdn.example/A/b.ts?b=%2f&a=1"), expected);
        assert_eq!(
            canonical("HTTPS://user:pw@CDN.example:443/A/b.ts?a=1&&b=%2F#t"),
            expected
        );
        assert_eq!(canonical("http://h:80?x"), "http://h/?x");
        assert_eq!(canonical("http://h:443/"), "http://h:443/");
    }

    #[test]
    fn known_tokens_are_dropped() {
        for query in [
            "token=abc",
            "hdnts=exp=1700000000~acl=/*~hmac=00",
            "Expires=1&Signature=x&Key-Pair-Id=y&Policy=z",
            "X-Amz-Date=1&X-Amz-Signature=2",
            "_HLS_msn=4&_HLS_part=1&CMCD=br%3D1",
            "st=abcdefghijklmnopqrstuv&e=1700000000",
            "exp=1700000000",
        ] {
            assert_eq!(
                canonical(&format!("https://h/a.ts?v=2&{query}")),
                "https://h/a.ts?v=2",
                "{query}"
            );
        }
    }

    #[test]
    fn parameters_that_may_choose_content_stay() {
        for query in [
            "v=2",
            "n=17",
            "e=2",
            "e=1&st=3",
            "exp=full",
            "sid=7",
            "uid=x",
            "variant=B",
        ] {
            let url = format!("https://h/a.ts?{query}");
            assert_eq!(canonical(&url), url);
        }
    }

    #[test]
    fn declared_parameters_groups_and_path_tokens_are_dropped() {
        let config = IdentityConfig {
            host_groups: vec![HostGroup {
                name: "origin1".into(),
                hosts: vec!["a.example".into(), "b.example:8080".into()],
            }],
            session_parameters: vec!["uid".into()],
            path_tokens: vec![
                PathToken::Akamai,
                PathToken::Wowza,
                PathToken::Prefix("sess-".into()),
            ],
            ..IdentityConfig::default()
        };
        let canonical = |url: &str| Canonical::new(url, &config).to_string();
        let expected = "group:origin1/live/media_w_1.ts";
        assert_eq!(
            canonical("https://A.example/live/hdntl=exp=1~acl=!*~hmac=ab/media_w123_w_1.ts?UID=4"),
            expected
        );
        assert_eq!(
            canonical("http://b.example:8080/sess-99/live/media_w_1_w7.ts"),
            expected
        );
        assert_eq!(canonical("http://b.example/x"), "http://b.example/x");
    }

    #[test]
    fn only_what_lies_below_the_playlist_loses_its_host() {
        let config = IdentityConfig::default();
        let playlist = Canonical::new("https://h/a/live.m3u8?x=/1", &config);
        let below = |url: &str| Canonical::new(url, &config).below(&playlist);
        assert_eq!(below("https://h/a/b/1.ts?n=1&token=2"), "b/1.ts?n=1");
        assert_eq!(below("https://h/c/1.ts"), "https://h/c/1.ts");
        assert_eq!(below("https://other/a/1.ts"), "https://other/a/1.ts");
        assert_eq!(below("http://h/a/1.ts"), "http://h/a/1.ts");
    }
}
