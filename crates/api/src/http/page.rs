//! The page at `/_/`: one document without any other file, made for this node alone.

use http::Response;
use http::header::{CONTENT_SECURITY_POLICY, HeaderValue, X_CONTENT_TYPE_OPTIONS};

use super::admin::fresh;
use super::body::Body;

const PAGE: &str = concat!(
    include_str!("page/head.html"),
    "<style>\n",
    include_str!("page/page.css"),
    "</style>\n",
    include_str!("page/body.html"),
    "<script>\n\"use strict\";\n",
    include_str!("page/nodes.js"),
    include_str!("page/show.js"),
    include_str!("page/keys.js"),
    "follow();\ngoHome();\n</script>\n</html>\n",
);

/// The page runs its own script, speaks to the doors of members, and nobody frames it.
const POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; \
                      connect-src 'self' http: https:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

pub(super) fn response() -> Response<Body> {
    let mut response = fresh("text/html; charset=utf-8", PAGE);
    response.headers_mut().insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_refers_to_nothing_outside() {
        for outside in ["https://", "//cdn", "@import", "<script src", "url("] {
            assert!(!PAGE.contains(outside), "{outside}");
        }
        for (at, _) in PAGE.match_indices("http://") {
            assert!(PAGE[at..].starts_with("http://${"), "{}", &PAGE[at..at + 20]);
        }
    }
}
