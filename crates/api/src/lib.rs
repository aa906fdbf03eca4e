//! The front doors of a key-value node over one trait: HTTP/1.1 and HTTP/2.
