//! Query parameters. Every route names those it takes; any other, or one given twice, is refused.

use super::problem::Problem;
use super::target::decode;

/// Reads the parameters named by `names`, in that order, still escaped.
pub(super) fn parameters<'a, const N: usize>(
    query: Option<&'a str>,
    names: [&str; N],
) -> Result<[Option<&'a str>; N], Problem> {
    let mut values = [None; N];
    for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let Some(place) = names.iter().position(|known| *known == name) else {
            return Err(Problem::bad_request(unknown(&names)));
        };
        if values[place].replace(value).is_some() {
            return Err(Problem::bad_request(format!("the query parameter {} is given twice", names[place])));
        }
    }
    Ok(values)
}

/// Percent-decodes a parameter's value.
pub(super) fn decoded(value: &str) -> Result<Vec<u8>, Problem> {
    let bytes = decode(value).ok_or_else(|| {
        Problem::bad_request("a '%' in the query must be followed by two hexadecimal digits")
    })?;
    Ok(bytes.into_owned())
}

fn unknown(names: &[&str]) -> String {
    match names {
        [] => "there are no query parameters here; in a key, write '?' as %3F".to_owned(),
        _ => format!("the query parameters here are: {}; in a key, write '?' as %3F", names.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status<const N: usize>(query: &str, names: [&str; N]) -> u16 {
        parameters(Some(query), names).map_or_else(|problem| problem.status().as_u16(), |_| 200)
    }

    #[test]
    fn parameters_come_in_the_order_asked_for() {
        assert_eq!(parameters(Some("b=2&a=1"), ["a", "b", "c"]).unwrap(), [Some("1"), Some("2"), None]);
        assert_eq!(parameters(Some("a=x=y"), ["a"]).unwrap(), [Some("x=y")]);
        assert_eq!(parameters(Some("&a&"), ["a"]).unwrap(), [Some("")]);
        assert_eq!(parameters(None, ["a"]).unwrap(), [None]);
    }

    #[test]
    fn unknown_and_repeated_parameters_are_refused() {
        assert_eq!(status("", []), 200);
        assert_eq!(status("x", []), 400);
        assert_eq!(status("a=1&x=2", ["a"]), 400);
        assert_eq!(status("A=1", ["a"]), 400);
        assert_eq!(status("a=1&a=1", ["a"]), 400);
    }

    #[test]
    fn values_are_decoded_once() {
        assert_eq!(decoded("a%20b+%2541").unwrap(), b"a b+%41");
        assert!(decoded("%4").is_err());
    }
}
