//! What one client knows about its own keys.

/// Keys that one client alone writes.
pub(super) struct Model {
    /// Place of the first key among all.
    first: usize,
    keys: Vec<Known>,
    value_bytes: usize,
}

/// What is known of a key: the number of its last write, even if it was a put, odd if it was a delete.
#[derive(Clone, Copy, Default)]
struct Known {
    now: u64,
    /// What it may be instead, since the outcome of a write is unknown.
    perhaps: Option<u64>,
}

impl Model {
    /// As many models as there are clients, of about as many keys each. No key has been written.
    pub(super) fn shares(keys: usize, value_bytes: usize, clients: u8) -> Vec<Self> {
        let share = keys.div_ceil(usize::from(clients));
        let shares = (0..keys).step_by(share);
        let absent = Known { now: 1, perhaps: None };
        shares.map(|first| Self { first, keys: vec![absent; share.min(keys - first)], value_bytes }).collect()
    }

    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    pub(super) fn path(&self, key: usize) -> String {
        format!("/reshard/{}", self.first + key)
    }

    /// The value of a write: the key, the number, and both again up to the length.
    fn value(&self, key: usize, number: u64) -> Vec<u8> {
        format!("{} {number} ", self.first + key).bytes().cycle().take(self.value_bytes).collect()
    }

    /// The number of the next put, and its value.
    pub(super) fn put(&self, key: usize) -> (u64, Vec<u8>) {
        let number = self.next(key).next_multiple_of(2);
        (number, self.value(key, number))
    }

    /// The number of the next delete.
    pub(super) fn delete(&self, key: usize) -> u64 {
        self.next(key) | 1
    }

    fn next(&self, key: usize) -> u64 {
        let Known { now, perhaps } = self.keys[key];
        now.max(perhaps.unwrap_or(0)) + 1
    }

    /// A write was acknowledged: whether `existed`, what it said of the value before, can be true.
    pub(super) fn wrote(&mut self, key: usize, number: u64, existed: bool) -> bool {
        let known = std::mem::replace(&mut self.keys[key], Known { now: number, perhaps: None });
        [Some(known.now), known.perhaps].into_iter().flatten().any(|before| is_put(before) == existed)
    }

    /// A write may have been applied.
    pub(super) fn may_have_written(&mut self, key: usize, number: u64) {
        self.keys[key].perhaps = Some(number);
    }

    /// Whether a read may have found this (`None`: no such key).
    pub(super) fn read(&mut self, key: usize, found: Option<&[u8]>) -> bool {
        let Known { now, perhaps } = self.keys[key];
        let fits = |number: &u64| match found {
            Some(value) => is_put(*number) && value == self.value(key, *number),
            None => !is_put(*number),
        };
        let Some(now) = [Some(now), perhaps].into_iter().flatten().find(fits) else { return false };
        self.keys[key].now = now;
        true
    }
}

fn is_put(number: u64) -> bool {
    number.is_multiple_of(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model() -> Model {
        let mut shares = Model::shares(5, 20, 2);
        assert_eq!(shares.iter().map(Model::len).collect::<Vec<_>>(), [3, 2]);
        shares.remove(1)
    }

    #[test]
    fn only_the_last_write_may_be_read() {
        let mut model = model();
        assert!(model.read(0, None));
        let (number, value) = model.put(0);
        assert_eq!(value, b"3 2 3 2 3 2 3 2 3 2 ");
        assert!(model.wrote(0, number, false));
        assert!(model.read(0, Some(&value)) && !model.read(0, None) && !model.read(0, Some(b"3 2")));
        let number = model.delete(0);
        assert!(model.wrote(0, number, true));
        assert!(model.read(0, None) && !model.read(0, Some(&value)));
        let (number, _) = model.put(0);
        assert!(!model.wrote(0, number, true), "it was deleted");
    }

    #[test]
    fn a_write_of_unknown_outcome_may_be_read_or_not() {
        let mut model = model();
        let (number, value) = model.put(1);
        model.may_have_written(1, number);
        assert!(model.read(1, None) && model.read(1, Some(&value)));
        let (later, after) = model.put(1);
        assert!(later > number && after != value);
        assert!(model.wrote(1, later, true) && !model.read(1, Some(&value)));
    }
}
