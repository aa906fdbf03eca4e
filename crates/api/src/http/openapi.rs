//! `/_/openapi.json`: the door described for programs.

use http::Response;

use super::admin::fresh;
use super::body::Body;

const DESCRIPTION: &str = include_str!("openapi.json");

pub(super) fn response() -> Response<Body> {
    fresh("application/json", DESCRIPTION)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::admin::Route;
    use serde_json::Value;

    #[test]
    fn the_description_is_json_and_lists_exactly_the_routes() {
        let description: Value = serde_json::from_str(DESCRIPTION).unwrap();
        let mut listed: Vec<&str> =
            description["paths"].as_object().unwrap().keys().map(String::as_str).collect();
        let mut routes: Vec<String> = Route::ALL
            .iter()
            .map(|(path, route)| format!("/_/{path}{}", if *route == Route::Owner { "{key}" } else { "" }))
            .chain(["/".into(), "/{key}".into()])
            .collect();
        listed.sort_unstable();
        routes.sort_unstable();
        assert_eq!(listed, routes);
    }

    #[test]
    fn every_reference_in_the_description_leads_somewhere() {
        let description: Value = serde_json::from_str(DESCRIPTION).unwrap();
        for reference in DESCRIPTION.split("\"#").skip(1).map(|rest| rest.split('"').next().unwrap()) {
            assert!(description.pointer(reference).is_some(), "{reference}");
        }
    }
}
