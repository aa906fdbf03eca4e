//! What the system says of this process, under the names that Prometheus gives it.

use std::fmt;
use std::fs;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

/// Reads `/proc/self`; where there is none, it tells nothing.
#[derive(Debug)]
pub(crate) struct Process;

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let gauges = [
            ("process_resident_memory", "Memory in use", Some(Unit::Bytes), resident_bytes()),
            ("process_open_fds", "Open file descriptors", None, open_files()),
            ("process_max_fds", "Most file descriptors that may be open", None, max_files()),
            ("process_threads", "Threads", None, stat().map(|stat| stat.threads)),
        ];
        for (name, help, unit, value) in gauges {
            let Some(value) = value else { continue };
            let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            gauge.encode(encoder.encode_descriptor(name, help, unit.as_ref(), gauge.metric_type())?)?;
        }
        if let Some(stat) = stat() {
            if let Some(boot_s) = boot_s() {
                let gauge = ConstGauge::new(boot_s + stat.started_s);
                let help = "When the process started, in Unix time";
                let unit = Some(&Unit::Seconds);
                let metric =
                    encoder.encode_descriptor("process_start_time", help, unit, gauge.metric_type())?;
                gauge.encode(metric)?;
            }
            let counter = ConstCounter::new(stat.cpu_s);
            let help = "Time of processors used";
            let encoder = encoder.encode_descriptor(
                "process_cpu",
                help,
                Some(&Unit::Seconds),
                counter.metric_type(),
            )?;
            counter.encode(encoder)?;
        }
        Ok(())
    }
}

struct Stat {
    cpu_s: f64,
    threads: u64,
    /// After the system's.
    started_s: f64,
}

/// `/proc/self/stat`, counted from after the name in brackets: fields 14, 15, 20 and 22 of proc(5).
fn stat() -> Option<Stat> {
    let text = fs::read_to_string("/proc/self/stat").ok()?;
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let field = |number: usize| fields.get(number - 3)?.parse::<u32>().ok();
    let ticks = f64::from(field(14)?) + f64::from(field(15)?);
    let per_s = u32::try_from(rustix::param::clock_ticks_per_second()).ok()?;
    let started: f64 = fields.get(22 - 3)?.parse().ok()?;
    Some(Stat {
        cpu_s: ticks / f64::from(per_s),
        threads: field(20)?.into(),
        started_s: started / f64::from(per_s),
    })
}

/// When the system started, in Unix time.
fn boot_s() -> Option<f64> {
    let text = fs::read_to_string("/proc/stat").ok()?;
    text.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

fn resident_bytes() -> Option<u64> {
    let text = fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = text.split_whitespace().nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

fn open_files() -> Option<u64> {
    // The listing itself has one open.
    Some(fs::read_dir("/proc/self/fd").ok()?.count() as u64 - 1)
}

fn max_files() -> Option<u64> {
    let text = fs::read_to_string("/proc/self/limits").ok()?;
    text.lines().find(|line| line.starts_with("Max open files"))?.split_whitespace().nth(3)?.parse().ok()
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use std::time::{SystemTime, UNIX_EPOCH};

    use super::*;

    #[test]
    fn the_system_knows_this_process() {
        assert!(resident_bytes().is_some_and(|bytes| bytes > 1 << 20));
        assert!(open_files().is_some_and(|open| open < max_files().unwrap_or(u64::MAX)));
        assert!(stat().is_some_and(|stat| stat.threads >= 1 && stat.cpu_s >= 0.0));
        let now_s = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
        let started_s = boot_s().unwrap() + stat().unwrap().started_s;
        assert!((now_s - 3600.0..now_s + 2.0).contains(&started_s), "{started_s} is long before {now_s}");
    }
}
