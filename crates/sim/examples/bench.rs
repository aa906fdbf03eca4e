use boato_sim::registers::{self, Scenario};
fn main() {
    let a: Vec<u64> = std::env::args().skip(1).map(|x| x.parse().unwrap()).collect();
    let (mut hap, mut ns, mut h) = (0u64, 0.0, 0u64);
    let mut bad = vec![];
    for seed in a[0]..a[0] + a[1] {
        let r = registers::run(&Scenario::from_seed(seed));
        hap += r.happened; ns += r.node_seconds;
        h = h.rotate_left(5) ^ u64::from_str_radix(&r.trace_hash.to_string(), 16).unwrap();
        if r.verdict.is_err() { bad.push(seed); }
    }
    println!("happened {hap} node-hours {:.2} hash {h:x} bad {bad:?}", ns / 3600.0);
}
