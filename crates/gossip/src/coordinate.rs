//! Network coordinates: how far any two members are apart, known by a few round trips of each.
//!
//! Vivaldi (Dabek, Cox, Kaashoek, Morris 2004) with heights, as Serf refines it: an adjustment for what a point cannot
//! say (Ledlie, Gardner, Seltzer 2007, section 5), a pull to the origin against drift, and a median over the last
//! round trips to each member.

use std::time::Duration;

use fastrand::Rng;

/// Dimensions beside the height.
pub(crate) const DIMENSIONS: usize = 8;
/// How fast error and position follow a sample (`c_e` and `c_c` of the paper).
const PACE: f64 = 0.25;
/// The error of who knows nothing; nothing is worse.
const ERROR_MAX: f64 = 1.5;
/// Nothing is nearer than this, in seconds.
const HEIGHT_MIN: f64 = 1e-5;
/// Smaller is taken for zero.
const TINY: f64 = 1e-6;
/// Round trips to a member that the median is taken of.
const FILTER: usize = 3;
/// Samples that the adjustment is averaged over.
const WINDOW: u8 = 20;
/// A point so many seconds from the origin is pulled back by one.
const GRAVITY: f64 = 150.0;
/// No coordinate reaches further, in seconds.
const REACH: f64 = 60.0;

/// Where a member is, in seconds: the distance of two members estimates the round trip between them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Coordinate {
    pub(crate) point: [f64; DIMENSIONS],
    /// From the point to the member and back: what it adds to every way, as a slow access line does.
    pub(crate) height: f64,
    /// What point and height get wrong on average.
    pub(crate) adjustment: f64,
    /// How far to trust it: 0 (surely right) to 1.5 (knows nothing).
    pub(crate) error: f64,
}

impl Coordinate {
    /// Of a member that has measured nothing yet.
    pub(crate) const ORIGIN: Coordinate =
        Coordinate { point: [0.0; DIMENSIONS], height: HEIGHT_MIN, adjustment: 0.0, error: ERROR_MAX };

    /// The estimated round trip between two members. Without measurements of both it says little: see
    /// [`error`](Coordinate::error).
    pub fn rtt(&self, other: &Coordinate) -> Duration {
        Duration::from_secs_f64(self.distance(other).clamp(0.0, 4.0 * REACH))
    }

    /// How far to trust it: 0 (surely right) to 1.5 (knows nothing).
    pub fn error(&self) -> f64 {
        self.error
    }

    /// Whether all numbers are ones that a member can have.
    pub(crate) fn is_sound(&self) -> bool {
        self.point.iter().all(|x| x.abs() <= REACH)
            && (0.0..=REACH).contains(&self.height)
            && self.adjustment.abs() <= REACH
            && (0.0..=ERROR_MAX).contains(&self.error)
    }

    fn distance(&self, other: &Coordinate) -> f64 {
        let raw = self.raw_distance(other);
        let adjusted = raw + self.adjustment + other.adjustment;
        if adjusted > 0.0 { adjusted } else { raw }
    }

    fn raw_distance(&self, other: &Coordinate) -> f64 {
        length(&difference(&self.point, &other.point)) + self.height + other.height
    }

    /// Moves by `force` seconds away from `other`.
    fn push(&mut self, force: f64, other: &Coordinate, rng: &mut Rng) {
        let mut way = difference(&self.point, &other.point);
        let apart = length(&way);
        if apart <= TINY {
            way = std::array::from_fn(|_| rng.f64() - 0.5);
        }
        let unit = length(&way).max(TINY);
        for (x, toward) in self.point.iter_mut().zip(way) {
            *x += toward / unit * force;
        }
        if apart > TINY {
            self.height = ((self.height + other.height) * force / apart + self.height).max(HEIGHT_MIN);
        }
    }
}

/// What is known about the way to another member.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// Where it said last that it is.
    pub(crate) there: Coordinate,
    /// The last round trips to it, the oldest to be overwritten next.
    recent: [Duration; FILTER],
    next: usize,
}

impl Seen {
    pub(crate) fn new(there: Coordinate, rtt: Duration) -> Seen {
        Seen { there, recent: [rtt; FILTER], next: 0 }
    }

    /// Another round trip took `rtt`. The median of the last ones, so that a single late answer counts for nothing.
    pub(crate) fn observe(&mut self, there: Coordinate, rtt: Duration) -> Duration {
        self.there = there;
        self.recent[self.next] = rtt;
        self.next = (self.next + 1) % FILTER;
        let mut sorted = self.recent;
        sorted.sort_unstable();
        sorted[FILTER / 2]
    }
}

/// The own coordinate, and what it takes to improve it.
#[derive(Clone, Debug)]
pub(crate) struct Vivaldi {
    here: Coordinate,
    samples: [f64; WINDOW as usize],
    next: usize,
}

impl Default for Vivaldi {
    fn default() -> Vivaldi {
        Vivaldi { here: Coordinate::ORIGIN, samples: [0.0; WINDOW as usize], next: 0 }
    }
}

impl Vivaldi {
    pub(crate) fn here(&self) -> Coordinate {
        self.here
    }

    /// A round trip to a member at `other` took `rtt`.
    pub(crate) fn observe(&mut self, other: &Coordinate, rtt: Duration, rng: &mut Rng) {
        let rtt = rtt.as_secs_f64().clamp(TINY, 10.0);
        let before = self.clone();
        self.move_by(other, rtt, rng);
        self.adjust(other, rtt);
        let home = Coordinate { height: HEIGHT_MIN, ..Coordinate::ORIGIN };
        let pull = (home.distance(&self.here) / GRAVITY).powi(2);
        self.here.push(-pull, &home, rng);
        if !self.here.is_sound() {
            *self = if before.here.is_sound() { before } else { Vivaldi::default() };
        }
    }

    fn move_by(&mut self, other: &Coordinate, rtt: f64, rng: &mut Rng) {
        let distance = self.here.distance(other);
        let wrong = (distance - rtt).abs() / rtt;
        let weight = self.here.error / (self.here.error + other.error).max(TINY);
        let error = PACE * weight * wrong + self.here.error * (1.0 - PACE * weight);
        self.here.error = error.min(ERROR_MAX);
        self.here.push(PACE * weight * (rtt - distance), other, rng);
    }

    fn adjust(&mut self, other: &Coordinate, rtt: f64) {
        self.samples[self.next] = rtt - self.here.raw_distance(other);
        self.next = (self.next + 1) % self.samples.len();
        self.here.adjustment = self.samples.iter().sum::<f64>() / f64::from(2 * WINDOW);
    }
}

fn difference(one: &[f64; DIMENSIONS], other: &[f64; DIMENSIONS]) -> [f64; DIMENSIONS] {
    std::array::from_fn(|axis| one[axis] - other[axis])
}

fn length(way: &[f64; DIMENSIONS]) -> f64 {
    way.iter().map(|x| x * x).sum::<f64>().sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODES: usize = 25;

    /// Average and greatest relative error after `cycles` in each of which each node measures one other.
    fn errors(cycles: usize, truth: impl Fn(usize, usize) -> f64) -> (f64, f64) {
        let mut rng = Rng::with_seed(1);
        let mut nodes = vec![Vivaldi::default(); NODES];
        for _ in 0..cycles {
            for here in 0..NODES {
                let there = (here + rng.usize(1..NODES)) % NODES;
                let other = nodes[there].here();
                nodes[here].observe(&other, Duration::from_secs_f64(truth(here, there)), &mut rng);
            }
        }
        let pairs = (0..NODES).flat_map(|a| (a + 1..NODES).map(move |b| (a, b)));
        let (mut sum, mut count, mut greatest) = (0.0, 0.0, 0.0_f64);
        let errors = pairs.map(|(a, b)| {
            let estimate = nodes[a].here().rtt(&nodes[b].here()).as_secs_f64();
            (estimate - truth(a, b)).abs() / truth(a, b)
        });
        for error in errors {
            (sum, count, greatest) = (sum + error, count + 1.0, greatest.max(error));
        }
        (sum / count, greatest)
    }

    #[test]
    fn a_grid_is_found() {
        let axis = [0.0_f64, 1.0, 2.0, 3.0, 4.0];
        let at = |node: usize| (axis[node % 5], axis[node / 5]);
        let (average, greatest) = errors(1000, |a, b| {
            let ((ax, ay), (bx, by)) = (at(a), at(b));
            0.01 * (ax - bx).hypot(ay - by)
        });
        assert!(average < 0.0016 && greatest < 0.023, "{average} {greatest}");
    }

    #[test]
    fn two_sites_are_found() {
        let (average, greatest) = errors(1000, |a, b| if (a < 12) == (b < 12) { 0.001 } else { 0.011 });
        assert!(average < 0.00006 && greatest < 0.00048, "{average} {greatest}");
    }

    #[test]
    fn even_round_trips_without_any_geometry_are_found_roughly() {
        let mut rng = Rng::with_seed(7);
        let mut all = vec![[0.0; NODES]; NODES];
        for (a, b) in (0..NODES).flat_map(|a| (0..a).map(move |b| (a, b))) {
            all[a][b] = 0.1 * (0.9 + 0.2 * rng.f64());
            all[b][a] = all[a][b];
        }
        let (average, greatest) = errors(1000, |a, b| all[a][b]);
        assert!(average < 0.075 && greatest < 0.33, "{average} {greatest}");
    }

    #[test]
    fn a_member_behind_a_slow_line_has_height() {
        let (average, greatest) = errors(1000, |a, b| if a == 0 || b == 0 { 0.051 } else { 0.001 });
        assert!(average < 0.01 && greatest < 0.05, "{average} {greatest}");
    }

    #[test]
    fn a_single_late_answer_counts_for_nothing() {
        let ms = Duration::from_millis;
        let mut seen = Seen::new(Coordinate::ORIGIN, ms(1));
        let medians = [900, 2, 2, 2].map(|rtt| seen.observe(Coordinate::ORIGIN, ms(rtt)));
        assert_eq!(medians, [ms(1), ms(2), ms(2), ms(2)]);
    }

    #[test]
    fn coordinates_stay_sound_whatever_peers_say() {
        let mut rng = Rng::with_seed(3);
        let mut vivaldi = Vivaldi::default();
        for round in 0..10_000 {
            let mut other = Coordinate::ORIGIN;
            other.point = std::array::from_fn(|_| 2.0 * REACH * (rng.f64() - 0.5));
            other.error = if round % 3 == 0 { 0.0 } else { ERROR_MAX };
            vivaldi.observe(&other, Duration::from_millis(rng.u64(0..20_000)), &mut rng);
            assert!(vivaldi.here().is_sound(), "{vivaldi:?}");
        }
        for wrong in [f64::NAN, f64::INFINITY, 61.0, -61.0] {
            let mut other = Coordinate::ORIGIN;
            other.point[3] = wrong;
            assert!(!other.is_sound());
        }
    }

    #[test]
    fn an_observation_that_makes_no_sense_leaves_no_trace() {
        let mut rng = Rng::with_seed(1);
        let mut vivaldi = Vivaldi::default();
        for _ in 0..5 {
            vivaldi.observe(&Coordinate::ORIGIN, Duration::from_millis(20), &mut rng);
        }
        let before = vivaldi.clone();
        // So near that the height explodes.
        let mut near = before.here();
        near.point[0] += 2.0 * TINY;
        vivaldi.observe(&near, Duration::from_secs(10), &mut rng);
        assert_eq!(
            (vivaldi.here(), vivaldi.samples, vivaldi.next),
            (before.here(), before.samples, before.next)
        );
    }
}
