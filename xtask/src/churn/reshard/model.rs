//! What one client knows about its own keys.

/// Keys that one client alone writes.
pub(super) struct Model {
    /// Place of the first key among all.
    first: usize,
    keys: Vec<Known>,
    value_bytes: usize,
}

/// What is known of a key: the number of its last write, even if it was a put, odd if it was a delete.
#[derive(Clone)]
struct Known {
    now: u64,
    /// What it may be instead or become: writes of unknown outcome, of which none has been read. Each may be applied after
    /// later ones were acknowledged.
    perhaps: Vec<u64>,
}

impl Known {
    fn possible(&self) -> impl Iterator<Item = u64> {
        std::iter::once(self.now).chain(self.perhaps.iter().copied())
    }

    /// It was read, or an acknowledged write: an unknown one is applied once.
    fn settle(&mut self, number: u64) {
        self.now = number;
        self.perhaps.retain(|&other| other != number);
    }
}

impl Model {
    /// As many models as there are clients, of about as many keys each. No key has been written.
    pub(super) fn shares(keys: usize, value_bytes: usize, clients: u8) -> Vec<Self> {
        let share = keys.div_ceil(usize::from(clients));
        let shares = (0..keys).step_by(share);
        let absent = Known { now: 1, perhaps: Vec::new() };
        shares
            .map(|first| Self { first, keys: vec![absent.clone(); share.min(keys - first)], value_bytes })
            .collect()
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
        self.keys[key].possible().max().unwrap_or(0) + 1
    }

    /// A write was acknowledged: whether `existed`, what it said of the value before, can be true.
    pub(super) fn wrote(&mut self, key: usize, number: u64, existed: bool) -> bool {
        let known = &mut self.keys[key];
        let is_possible = known.possible().any(|before| is_put(before) == existed);
        known.settle(number);
        is_possible
    }

    /// A write may have been applied.
    pub(super) fn may_have_written(&mut self, key: usize, number: u64) {
        self.keys[key].perhaps.push(number);
    }

    /// Whether a read may have found this (`None`: no such key).
    pub(super) fn read(&mut self, key: usize, found: Option<&[u8]>) -> bool {
        let fits = |number: &u64| match found {
            Some(value) => is_put(*number) && value == self.value(key, *number),
            None => !is_put(*number),
        };
        let Some(number) = self.keys[key].possible().find(fits) else { return false };
        self.keys[key].settle(number);
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
        assert!(model.wrote(1, later, true) && !model.read(1, Some(&value)), "it was applied before");
    }

    #[test]
    fn each_write_of_unknown_outcome_may_be_applied_once_and_later_than_others() {
        let mut model = model();
        let (first, first_value) = model.put(1);
        model.may_have_written(1, first);
        let second = model.delete(1);
        model.may_have_written(1, second);
        let (third, third_value) = model.put(1);
        assert!(first < second && second < third && model.wrote(1, third, true));
        assert!(model.read(1, Some(&third_value)) && model.read(1, Some(&first_value)));
        assert!(!model.read(1, Some(&third_value)), "only what is under way may follow");
        assert!(model.read(1, None) && !model.read(1, Some(&first_value)), "not twice");
    }
}
