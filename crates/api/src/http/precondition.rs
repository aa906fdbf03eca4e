//! `If-Match` and `If-None-Match` (RFC 9110, sections 13.1.1 and 13.1.2).

use http::header::{IF_MATCH, IF_NONE_MATCH};
use http::{HeaderMap, HeaderName};

use super::problem::Problem;
use crate::{Condition, Version};

/// Entity tags one header may list.
const TAGS_MAX: usize = 64;

/// The preconditions of a request.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Preconditions {
    if_match: Option<Tags>,
    if_none_match: Option<Tags>,
}

#[derive(Debug, PartialEq, Eq)]
enum Tags {
    Any,
    List(Vec<Tag>),
}

/// An entity tag; a text that is none of our versions matches nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Tag {
    weak: bool,
    version: Option<Version>,
}

/// How a read goes on once the current version is known.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Read {
    Send,
    NotModified,
    Failed,
}

impl Preconditions {
    pub(super) fn parse(headers: &HeaderMap) -> Result<Preconditions, Problem> {
        Ok(Preconditions {
            if_match: tags(headers, &IF_MATCH)?,
            if_none_match: tags(headers, &IF_NONE_MATCH)?,
        })
    }

    /// Judges a read of a value.
    pub(super) fn judge_read(&self, current: Version) -> Read {
        if self.if_match.as_ref().is_some_and(|tags| !tags.strongly_match(current)) {
            Read::Failed
        } else if self.if_none_match.as_ref().is_some_and(|tags| tags.weakly_match(current)) {
            Read::NotModified
        } else {
            Read::Send
        }
    }

    /// Whether a read of a key without a value fails instead of finding nothing.
    pub(super) fn needs_value(&self) -> bool {
        self.if_match.is_some()
    }

    /// What the holder has to check for a write.
    pub(super) fn condition(&self) -> Result<Condition<'static>, Problem> {
        match (&self.if_match, &self.if_none_match) {
            (None, None) => Ok(Condition::Always),
            (Some(Tags::Any), None) => Ok(Condition::Present),
            (Some(Tags::List(tags)), None) => {
                Ok(Condition::Is(tags.iter().filter(|tag| !tag.weak).filter_map(|tag| tag.version).collect()))
            }
            (None, Some(Tags::Any)) => Ok(Condition::Absent),
            (None, Some(Tags::List(tags))) => {
                Ok(Condition::IsNot(tags.iter().filter_map(|tag| tag.version).collect()))
            }
            (Some(_), Some(_)) => {
                Err(Problem::bad_request("a write takes If-Match or If-None-Match, not both"))
            }
        }
    }
}

impl Tags {
    fn strongly_match(&self, current: Version) -> bool {
        match self {
            Tags::Any => true,
            Tags::List(tags) => tags.iter().any(|tag| !tag.weak && tag.version == Some(current)),
        }
    }

    fn weakly_match(&self, current: Version) -> bool {
        match self {
            Tags::Any => true,
            Tags::List(tags) => tags.iter().any(|tag| tag.version == Some(current)),
        }
    }
}

fn tags(headers: &HeaderMap, name: &HeaderName) -> Result<Option<Tags>, Problem> {
    if !headers.contains_key(name) {
        return Ok(None);
    }
    let lines: Option<Vec<&str>> = headers.get_all(name).iter().map(|line| line.to_str().ok()).collect();
    let lines = lines.ok_or_else(|| malformed(name))?;
    if let [line] = lines[..]
        && line.trim() == "*"
    {
        return Ok(Some(Tags::Any));
    }
    let mut list = Vec::new();
    for line in lines {
        parse_list(line, &mut list).ok_or_else(|| malformed(name))?;
    }
    if list.is_empty() { Err(malformed(name)) } else { Ok(Some(Tags::List(list))) }
}

/// Reads `1#entity-tag` with the empty elements that a recipient has to bear; an opaque tag may contain
/// commas.
fn parse_list(line: &str, list: &mut Vec<Tag>) -> Option<()> {
    let mut rest = line.trim_matches(BLANK);
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix(',') {
            rest = after.trim_start_matches(BLANK);
            continue;
        }
        let (weak, opaque) = rest.strip_prefix("W/").map_or((false, rest), |strong| (true, strong));
        let (text, after) = opaque.strip_prefix('"')?.split_once('"')?;
        rest = after.trim_start_matches(BLANK);
        let is_opaque = text.bytes().all(|b| b > b' ' && b != 0x7f);
        if !is_opaque || list.len() == TAGS_MAX || !(rest.is_empty() || rest.starts_with(',')) {
            return None;
        }
        list.push(Tag { weak, version: text.parse().ok() });
    }
    Some(())
}

const BLANK: [char; 2] = [' ', '\t'];

fn malformed(name: &HeaderName) -> Problem {
    Problem::bad_request(format!(
        "{name} takes * or up to {TAGS_MAX} entity tags in double quotes, separated by commas"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ONE: Version = Version { hlc: 1, node: 0xa };
    const TWO: Version = Version { hlc: 2, node: 0xa };

    fn parse(headers: &[(&'static str, &str)]) -> Result<Preconditions, u16> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        Preconditions::parse(&map).map_err(|problem| problem.status().as_u16())
    }

    fn condition(name: &'static str, value: &str) -> Condition<'static> {
        parse(&[(name, value)]).unwrap().condition().unwrap()
    }

    #[test]
    fn writes_become_conditions() {
        assert_eq!(parse(&[]).unwrap().condition().unwrap(), Condition::Always);
        assert_eq!(condition("if-match", "*"), Condition::Present);
        assert_eq!(condition("if-none-match", " * "), Condition::Absent);
        assert_eq!(condition("if-match", "\"1-a\""), Condition::Is(vec![ONE]));
        assert_eq!(condition("if-none-match", "\"1-a\" ,, \"2-a\","), Condition::IsNot(vec![ONE, TWO]));
    }

    #[test]
    fn a_weak_tag_never_matches_strongly() {
        assert_eq!(condition("if-match", "W/\"1-a\", \"2-a\""), Condition::Is(vec![TWO]));
        assert_eq!(condition("if-none-match", "W/\"1-a\""), Condition::IsNot(vec![ONE]));
        assert_eq!(parse(&[("if-match", "W/\"1-a\"")]).unwrap().judge_read(ONE), Read::Failed);
        assert_eq!(parse(&[("if-none-match", "W/\"1-a\"")]).unwrap().judge_read(ONE), Read::NotModified);
    }

    #[test]
    fn a_foreign_tag_is_well_formed_and_matches_nothing() {
        assert_eq!(condition("if-match", "\"a,b\", \"\", \"01-a\""), Condition::Is(vec![]));
        assert_eq!(parse(&[("if-none-match", "\"abc\"")]).unwrap().judge_read(ONE), Read::Send);
    }

    #[test]
    fn lines_are_joined() {
        let both = parse(&[("if-none-match", "\"1-a\""), ("if-none-match", "\"2-a\"")]).unwrap();
        assert_eq!(both.judge_read(TWO), Read::NotModified);
    }

    #[test]
    fn malformed_headers_are_refused() {
        for value in [
            "",
            ",",
            "1-a",
            "\"1-a",
            "\"1-a\" \"2-a\"",
            "w/\"1-a\"",
            "*, \"1-a\"",
            "\"a b\"",
            "W/",
            "*\"1-a\"",
        ] {
            assert_eq!(parse(&[("if-match", value)]), Err(400), "{value:?}");
        }
        assert_eq!(parse(&[("if-match", "*"), ("if-match", "*")]), Err(400));
        assert_eq!(parse(&[("if-match", &"\"x\",".repeat(TAGS_MAX + 1))]), Err(400));
    }

    #[test]
    fn a_write_takes_one_of_the_two() {
        let both = parse(&[("if-match", "*"), ("if-none-match", "*")]).unwrap();
        assert_eq!(both.condition().unwrap_err().status().as_u16(), 400);
    }

    #[test]
    fn if_match_goes_first_on_reads() {
        let both = parse(&[("if-match", "\"1-a\""), ("if-none-match", "\"1-a\"")]).unwrap();
        assert_eq!(both.judge_read(ONE), Read::NotModified);
        assert_eq!(both.judge_read(TWO), Read::Failed);
        assert!(both.needs_value());
    }

    proptest! {
        #[test]
        fn lists_round_trip(versions in proptest::collection::vec(any::<(u64, u128)>(), 1..TAGS_MAX)) {
            let versions: Vec<_> = versions.into_iter().map(|(hlc, node)| Version { hlc, node }).collect();
            let list = versions.iter().map(|version| format!("\"{version}\"")).collect::<Vec<_>>().join(" , ");
            prop_assert_eq!(condition("if-match", &list), Condition::Is(versions));
        }

        #[test]
        fn no_text_panics(value in "[ -~\t]{0,40}") {
            let _ = parse(&[("if-match", &value)]);
        }
    }
}
