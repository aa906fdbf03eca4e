//! Time to live: `Cache-Control: max-age=N` or `?ttl=N` on a write, whole seconds.

use std::time::Duration;

use http::HeaderMap;
use http::header::CACHE_CONTROL;

use super::problem::Problem;

/// Longest time to live, in seconds: a hundred years of 365 days.
pub const TTL_S_MAX: u64 = 100 * 365 * 24 * 60 * 60;

/// Reads the time to live of a write; other directives of `Cache-Control` and other query parameters are not
/// its business.
pub(super) fn parse(headers: &HeaderMap, query: Option<&str>) -> Result<Option<Duration>, Problem> {
    match (from_cache_control(headers)?, query.map(seconds).transpose()?) {
        (Some(_), Some(_)) => {
            Err(Problem::bad_request("give the time to live once: by Cache-Control: max-age or by ?ttl"))
        }
        (header, query) => Ok(header.or(query)),
    }
}

fn from_cache_control(headers: &HeaderMap) -> Result<Option<Duration>, Problem> {
    let mut ttl = None;
    for line in headers.get_all(CACHE_CONTROL) {
        let line = line.to_str().map_err(|_| Problem::bad_request("Cache-Control is not text"))?;
        for directive in line.split(',') {
            let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
            if !name.trim().eq_ignore_ascii_case("max-age") {
                continue;
            }
            if ttl.replace(seconds(value.trim())?).is_some() {
                return Err(Problem::bad_request("Cache-Control has more than one max-age"));
            }
        }
    }
    Ok(ttl)
}

fn seconds(text: &str) -> Result<Duration, Problem> {
    let is_number = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    match text.parse() {
        Ok(seconds @ 1..=TTL_S_MAX) if is_number => Ok(Duration::from_secs(seconds)),
        _ => Err(Problem::bad_request(format!(
            "a time to live is a whole number of seconds from 1 to {TTL_S_MAX}"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ttl(lines: &[&str], query: Option<&str>) -> Result<Option<u64>, u16> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(CACHE_CONTROL, line.parse().unwrap());
        }
        parse(&headers, query)
            .map(|ttl| ttl.map(|ttl| ttl.as_secs()))
            .map_err(|problem| problem.status().as_u16())
    }

    #[test]
    fn either_place_gives_it() {
        assert_eq!(ttl(&[], None), Ok(None));
        assert_eq!(ttl(&["max-age=60"], None), Ok(Some(60)));
        assert_eq!(ttl(&["no-store , Max-Age = 7, x=y"], None), Ok(Some(7)));
        assert_eq!(ttl(&["no-cache", "max-age=3"], None), Ok(Some(3)));
        assert_eq!(ttl(&["no-cache"], Some("60")), Ok(Some(60)));
        assert_eq!(ttl(&[], Some(&TTL_S_MAX.to_string())), Ok(Some(TTL_S_MAX)));
    }

    #[test]
    fn twice_is_refused() {
        assert_eq!(ttl(&["max-age=60"], Some("60")), Err(400));
        assert_eq!(ttl(&["max-age=60, max-age=60"], None), Err(400));
        assert_eq!(ttl(&["max-age=60", "max-age=60"], None), Err(400));
    }

    #[test]
    fn only_whole_seconds_above_zero_are_taken() {
        for text in
            ["0", "-1", "+1", "1.5", "", " ", "x", "1s", "\"60\"", "99999999999999999999", "3153600001"]
        {
            assert_eq!(ttl(&[], Some(text)), Err(400), "{text:?}");
            assert_eq!(ttl(&[&format!("max-age={text}")], None), Err(400), "{text:?}");
        }
        assert_eq!(ttl(&["max-age"], None), Err(400));
    }
}
