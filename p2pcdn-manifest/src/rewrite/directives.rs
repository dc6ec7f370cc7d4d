//! Delivery directives: what a player adds to the URL of a playlist (RFC 8216bis section 6.2.5) or
//! of a steering manifest, and a proxy hands on.

/// Takes the delivery directives off a URL: gives the URL as the player was given it, and the
/// directives as they stand, joined by `&`, in their order; empty when there are none.
///
/// Directives are the fields of the query whose names begin with `_HLS_` (blocking reload, delta
/// updates, interstitials, steering) or `_DASH_` (steering). All else stays byte for byte.
///
/// ```
/// use p2pcdn_manifest::split_directives;
///
/// let (url, directives) = split_directives("/live.m3u8?t=1&_HLS_msn=7&_HLS_part=2");
/// assert_eq!((&*url, &*directives), ("/live.m3u8?t=1", "_HLS_msn=7&_HLS_part=2"));
/// ```
#[must_use]
pub fn split_directives(url: &str) -> (String, String) {
    let (before, query, fragment) = parts(url);
    let Some(query) = query else {
        return (url.to_owned(), String::new());
    };
    let (directives, others): (Vec<&str>, Vec<&str>) =
        query.split('&').partition(|field| is_directive(field));
    if directives.is_empty() {
        return (url.to_owned(), String::new());
    }
    let others = others.join("&");
    let mark = if others.is_empty() { "" } else { "?" };
    let url = [before, mark, &others, fragment].concat();
    (url, directives.join("&"))
}

/// Puts delivery directives, as [`split_directives`] gives them, onto the URL that is asked for
/// them: behind its query, before its fragment. Fields of the same names that the URL has already
/// make way, as they do in players.
#[must_use]
pub fn with_directives(url: &str, directives: &str) -> String {
    if directives.is_empty() {
        return url.to_owned();
    }
    let (before, query, fragment) = parts(url);
    let mut replaced: Vec<&str> = directives.split('&').map(name).collect();
    replaced.sort_unstable();
    let fields = query.filter(|query| !query.is_empty());
    let fields = fields.into_iter().flat_map(|query| query.split('&'));
    let kept = fields.filter(|field| replaced.binary_search(&name(field)).is_err());
    let fields: Vec<&str> = kept.chain([directives]).collect();
    [before, "?", &fields.join("&"), fragment].concat()
}

fn parts(url: &str) -> (&str, Option<&str>, &str) {
    let (rest, fragment) = url.split_at(url.find('#').unwrap_or(url.len()));
    match rest.split_once('?') {
        Some((before, query)) => (before, Some(query), fragment),
        None => (rest, None, fragment),
    }
}

fn is_directive(field: &str) -> bool {
    field.starts_with("_HLS_") || field.starts_with("_DASH_")
}

fn name(field: &str) -> &str {
    field.split('=').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directives_go_from_the_request_to_the_origin_byte_for_byte() {
        let cases = [
            (
                "/p/live.m3u8?_HLS_msn=273&t=a%2Fb&_HLS_part=2&_HLS_skip=YES",
                "/p/live.m3u8?t=a%2Fb",
                "https://cdn.example/live.m3u8?x=1#f",
                "https://cdn.example/live.m3u8?x=1&_HLS_msn=273&_HLS_part=2&_HLS_skip=YES#f",
            ),
            (
                "/p/s?_HLS_pathway=%22CDN-A%22&_HLS_throughput=1",
                "/p/s",
                "https://cdn.example/s",
                "https://cdn.example/s?_HLS_pathway=%22CDN-A%22&_HLS_throughput=1",
            ),
            (
                "/p/s?a=1&&b",
                "/p/s?a=1&&b",
                "https://h/?&&x",
                "https://h/?&&x",
            ),
            (
                "/p/s?_HLS_msn=2",
                "/p/s",
                "https://h/a?_HLS_msn=1&_HLS_msnx=1",
                "https://h/a?_HLS_msnx=1&_HLS_msn=2",
            ),
        ];
        for (request, bare, origin, asked) in cases {
            let (url, directives) = split_directives(request);
            assert_eq!(url, bare);
            assert_eq!(with_directives(origin, &directives), asked);
        }
    }
}
