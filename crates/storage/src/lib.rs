//! A sharded in-memory map: slots under their own locks, versions, expiry and exact memory accounting.
