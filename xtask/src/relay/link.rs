//! What happens to the packets from one node to another.

use std::fmt;
use std::time::Duration;

use fastrand::Rng;

/// How much later than others a packet may come that is put out of order, in milliseconds.
const REORDER_MS: std::ops::RangeInclusive<u64> = 1..=20;

/// The ways of a link.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Weather {
    /// Probability that a packet is lost.
    pub(crate) loss: f64,
    /// Longest delay: each packet is delayed by half to all of it, so that they also overtake each other.
    pub(crate) delay: Duration,
    /// Probability that a packet comes 1 to 20 ms later than it would.
    pub(crate) reorder: f64,
    /// Probability that a packet comes twice.
    pub(crate) duplicate: f64,
}

/// One direction between two nodes.
pub(super) struct Link {
    weather: Weather,
    /// Everything is lost.
    pub(super) cut: bool,
    rng: Rng,
}

/// What becomes of one packet.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fate {
    /// Delays of its copies: none, one or two.
    pub(super) copies: Vec<Duration>,
    cut: bool,
    late: bool,
}

impl Weather {
    /// Whether a link does anything but pass packets on.
    pub(crate) fn is_bad(&self) -> bool {
        *self != Self::default()
    }
}

impl Link {
    pub(super) fn new(weather: Weather, seed: u64) -> Self {
        Self { weather, cut: false, rng: Rng::with_seed(seed) }
    }

    /// Decides about the next packet.
    pub(super) fn fate(&mut self) -> Fate {
        // Every packet draws as many numbers, so that a cut changes nothing for those after it.
        let [loss, reorder, duplicate] = [(); 3].map(|()| self.rng.f64());
        let copies = [(); 2].map(|()| self.weather.delay.mul_f64(0.5 + self.rng.f64() / 2.0));
        let late_by = Duration::from_millis(self.rng.u64(REORDER_MS));
        let late = reorder < self.weather.reorder;
        let vanishes = self.cut || loss < self.weather.loss;
        let count = if vanishes { 0 } else { 1 + usize::from(duplicate < self.weather.duplicate) };
        let later = if late { late_by } else { Duration::ZERO };
        Fate {
            copies: copies.into_iter().take(count).map(|delay| delay + later).collect(),
            cut: self.cut,
            late,
        }
    }
}

/// Packets by what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Came through, once or twice.
    pub(crate) passed: u64,
    /// Lost by chance.
    pub(crate) lost: u64,
    /// Lost in a cut.
    pub(crate) cut: u64,
    /// Came twice.
    pub(crate) doubled: u64,
    /// Were put out of order.
    pub(crate) late: u64,
}

impl Counts {
    pub(super) fn add(&mut self, fate: &Fate) {
        match fate.copies.len() {
            0 if fate.cut => self.cut += 1,
            0 => self.lost += 1,
            copies => {
                self.passed += 1;
                self.doubled += u64::from(copies > 1);
                self.late += u64::from(fate.late);
            }
        }
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { passed, lost, cut, doubled, late } = self;
        write!(f, "{passed} passed ({doubled} doubled, {late} late), {lost} lost, {cut} cut")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fates(weather: Weather, seed: u64, cut_before: usize) -> Vec<Fate> {
        let mut link = Link::new(weather, seed);
        let mut next = |index| {
            link.cut = index < cut_before;
            link.fate()
        };
        (0..1000).map(&mut next).collect()
    }

    #[test]
    fn fates_follow_from_the_seed_whatever_was_cut_before() {
        let delay = Duration::from_millis(4);
        let weather = Weather { loss: 0.1, delay, reorder: 0.2, duplicate: 0.3 };
        let (first, again, cut) = (fates(weather, 1, 0), fates(weather, 1, 0), fates(weather, 1, 100));
        assert_eq!(first, again);
        assert_eq!(first[100..], cut[100..]);
        assert!(cut[..100].iter().all(|fate| fate.copies.is_empty()));
        assert_ne!(first, fates(weather, 2, 0));
    }

    #[test]
    fn packets_are_lost_doubled_and_late_as_often_as_asked() {
        let weather = Weather { loss: 0.1, reorder: 0.2, duplicate: 0.3, ..Weather::default() };
        let mut counts = Counts::default();
        for fate in fates(weather, 1, 0) {
            counts.add(&fate);
        }
        assert!((60..140).contains(&counts.lost), "{counts}");
        assert!((120..240).contains(&counts.late), "{counts}");
        assert!((200..340).contains(&counts.doubled), "{counts}");
        assert_eq!(counts.passed + counts.lost, 1000);
    }

    #[test]
    fn a_delay_is_half_to_all_of_what_was_asked() {
        let delay = Duration::from_millis(10);
        let fates = fates(Weather { delay, ..Weather::default() }, 1, 0);
        assert!(fates.iter().all(|fate| fate.copies.len() == 1));
        assert!(fates.iter().flat_map(|fate| &fate.copies).all(|copy| (delay / 2..=delay).contains(copy)));
        assert!(fates.iter().any(|fate| fate.copies != fates[0].copies));
    }
}
