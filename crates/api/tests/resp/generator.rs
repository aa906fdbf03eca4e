//! Commands by chance: what people send, what they get wrong, and what only a test would send.

/// How much the replies may differ.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Leeway {
    /// Not at all.
    None,
    /// The clock goes on, and a busy machine may stand still: numbers may differ by this much. No two lifetimes are as close.
    Time(f64),
    /// Redis 7.0 looks at the key before it looks at the arguments: no key may hide an error.
    Order,
    /// Redis counts in 64 bits of mantissa, not in 53, and takes infinity for a value.
    Fraction,
}

impl Leeway {
    pub(crate) fn allows(self, ours: &[u8], theirs: &[u8]) -> bool {
        let text = |reply: &[u8]| str::from_utf8(reply).unwrap_or_default().trim_end().to_owned();
        let (our_text, their_text) = (text(ours), text(theirs));
        let numbers =
            |text: &str| text.rsplit(['\n', ':']).next().and_then(|number| number.parse::<f64>().ok());
        let numbers = numbers(&our_text).zip(numbers(&their_text));
        let differs = |most: f64| numbers.is_some_and(|(ours, theirs)| (ours - theirs).abs() <= most);
        ours == theirs
            || match self {
                Leeway::None => false,
                Leeway::Time(most) => our_text.starts_with(':') && differs(most),
                Leeway::Order => our_text.starts_with("-ERR") && matches!(&*their_text, ":0" | "$-1" | "_"),
                Leeway::Fraction => {
                    let refused = our_text.starts_with("-ERR") && their_text.starts_with("-ERR");
                    refused
                        || our_text.starts_with('$')
                            && differs(numbers.map_or(0.0, |(ours, _)| ours.abs() * 1e-14))
                }
            }
    }
}

/// A sequence that depends on its seed alone (xorshift64*).
pub(crate) struct Generator {
    state: u64,
    /// Lifetimes are different ones, so that no comparison of two depends on the milliseconds between them.
    lifetimes: u64,
}

const KEYS: [&str; 6] = ["{t}a", "{t}b", "{t}c", "{t}d", "{t}e", "{t}"];

const VALUES: [&[u8]; 24] = [
    b"",
    b"0",
    b"1",
    b"-1",
    b"10",
    b"-0",
    b"01",
    b" 1",
    b"1 ",
    b"+1",
    b"abc",
    b"1.5",
    b"-2.25",
    b"3.0e3",
    b"1e40",
    b"9223372036854775807",
    b"-9223372036854775808",
    b"9223372036854775808",
    b"foobar",
    b"\x00\xff\r\n\x80",
    b"0123456789012345678901234567890123456789abcd",
    b"0123456789012345678901234567890123456789abcde",
    b"nan",
    b"inf",
];

const NUMBERS: [&str; 22] = [
    "0",
    "1",
    "-1",
    "2",
    "3",
    "5",
    "7",
    "10",
    "-2",
    "-5",
    "-100",
    "100",
    "9223372036854775807",
    "-9223372036854775808",
    "9223372036854775808",
    "x",
    "",
    "1.0",
    "+1",
    "01",
    "8",
    "41",
];

const FRACTIONS: [&str; 10] = ["1.5", "-0.25", "1e3", "0.1", "3", "x", "", "inf", "nan", "1 "];

impl Generator {
    pub(crate) fn new(seed: u64) -> Generator {
        Generator { state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1, lifetimes: seed }
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        let number = self.state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32;
        usize::try_from(number).unwrap() % bound
    }

    fn any<'a, T: ?Sized>(&mut self, of: &[&'a T]) -> &'a T {
        of[self.below(of.len())]
    }

    pub(crate) fn key(&mut self) -> Vec<u8> {
        self.any(&KEYS).as_bytes().to_vec()
    }

    /// Any command, mostly a right one.
    pub(crate) fn command(&mut self) -> (Vec<Vec<u8>>, Leeway) {
        let (template, leeway) = TEMPLATES[self.below(TEMPLATES.len())];
        (self.filled(template), leeway)
    }

    /// Any command that changes something if it does anything: a bit that is set to what it was is for Redis no change.
    pub(crate) fn change(&mut self) -> (Vec<Vec<u8>>, Leeway) {
        loop {
            let (template, leeway) = TEMPLATES[self.below(TEMPLATES.len())];
            if !template.starts_with("SETBIT") {
                return (self.filled(template), leeway);
            }
        }
    }

    /// A command whose reply within a transaction is the same at any time.
    pub(crate) fn queued(&mut self) -> Vec<Vec<u8>> {
        loop {
            let (template, leeway) = TEMPLATES[self.below(TEMPLATES.len())];
            if matches!(leeway, Leeway::None) && !template.starts_with("MSETNX") {
                return self.filled(template);
            }
        }
    }

    fn filled(&mut self, template: &str) -> Vec<Vec<u8>> {
        let mut words = Vec::new();
        for word in template.split(' ') {
            match word {
                "K" => words.push(self.key()),
                "V" => words.push(self.any(&VALUES).to_vec()),
                "N" => words.push(self.any(&NUMBERS).as_bytes().to_vec()),
                "L" => words.push(self.seconds()),
                "F" => words.push(self.any(&FRACTIONS).as_bytes().to_vec()),
                "S" => words.push(self.lifetime(1).into_bytes()),
                "M" => words.push(self.lifetime(1000).into_bytes()),
                "O" => self.options(&mut words, &SET_OPTIONS),
                "G" => self.options(&mut words, &GETEX_OPTIONS),
                "E" => self.options(&mut words, &EXPIRE_OPTIONS),
                "C" => self.options(&mut words, &COPY_OPTIONS),
                word => words.push(self.case(word)),
            }
        }
        match self.below(50) {
            0 => words.push(b"{t}more".to_vec()),
            1 if words.len() > 1 => drop(words.pop()),
            _ => {}
        }
        words
    }

    fn case(&mut self, word: &str) -> Vec<u8> {
        if self.below(4) == 0 { word.to_lowercase().into_bytes() } else { word.as_bytes().to_vec() }
    }

    /// Hours to years from now or after 2033, each once.
    fn lifetime(&mut self, unit: u64) -> String {
        self.lifetimes += 1;
        ((3600 + self.lifetimes * 7919 % 99_991 * 1000) * unit).to_string()
    }

    /// A number, right or wrong, but never a lifetime that ends while the test runs: the two do not look at the clock together.
    fn seconds(&mut self) -> Vec<u8> {
        let number = self.any(&NUMBERS);
        let is_short = number.parse().is_ok_and(|number: i64| (1..10_000).contains(&number));
        (number.to_owned() + if is_short { "0000" } else { "" }).into_bytes()
    }

    fn options(&mut self, words: &mut Vec<Vec<u8>>, options: &[&str]) {
        for _ in 0..self.below(4) {
            for word in self.any(options).split(' ') {
                words.push(match word {
                    "S" => self.lifetime(1).into_bytes(),
                    "M" => self.lifetime(1000).into_bytes(),
                    "T" => (self.lifetime(1) + "0000").into_bytes(),
                    "N" => self.any(&NUMBERS).as_bytes().to_vec(),
                    word => self.case(word),
                });
            }
        }
    }
}

const SET_OPTIONS: [&str; 14] = [
    "NX",
    "XX",
    "GET",
    "KEEPTTL",
    "EX S",
    "PX M",
    "EXAT 5000000000",
    "PXAT 5000000000000",
    "EX",
    "PX 0",
    "EX -1",
    "PERSIST",
    "foo",
    "EX 9223372036854775807",
];

const GETEX_OPTIONS: [&str; 9] =
    ["PERSIST", "EX S", "PX M", "EXAT 5000000001", "PXAT 5000000000001", "EX", "PX -5", "KEEPTTL", "NX"];

const EXPIRE_OPTIONS: [&str; 5] = ["NX", "XX", "GT", "LT", "foo"];

const COPY_OPTIONS: [&str; 4] = ["REPLACE", "DB 0", "DB", "foo"];

const TEMPLATES: [(&str, Leeway); 74] = [
    ("SET K V", Leeway::None),
    ("SET K V", Leeway::None),
    ("SET K V O", Leeway::None),
    ("SET K V O", Leeway::None),
    ("SET K N", Leeway::None),
    ("GET K", Leeway::None),
    ("GET K", Leeway::None),
    ("SETNX K V", Leeway::None),
    ("SETEX K S V", Leeway::None),
    ("SETEX K L V", Leeway::None),
    ("PSETEX K M V", Leeway::None),
    ("GETSET K V", Leeway::None),
    ("GETDEL K", Leeway::None),
    ("GETEX K G", Leeway::Order),
    ("MGET K", Leeway::None),
    ("MGET K K K", Leeway::None),
    ("MSET K V", Leeway::None),
    ("MSET K V K V", Leeway::None),
    ("MSET K V K", Leeway::None),
    ("MSETNX K V", Leeway::None),
    ("MSETNX K V K V", Leeway::None),
    ("APPEND K V", Leeway::None),
    ("STRLEN K", Leeway::None),
    ("SETRANGE K 3 V", Leeway::None),
    ("SETRANGE K -1 V", Leeway::None),
    ("SETRANGE K x V", Leeway::None),
    ("GETRANGE K N N", Leeway::None),
    ("GETRANGE K N N", Leeway::None),
    ("SUBSTR K 1 -2", Leeway::None),
    ("INCR K", Leeway::None),
    ("DECR K", Leeway::None),
    ("INCRBY K N", Leeway::None),
    ("DECRBY K N", Leeway::None),
    ("INCRBYFLOAT K F", Leeway::Fraction),
    ("INCRBYFLOAT K 0.1", Leeway::Fraction),
    ("INCRBYFLOAT K 10.25", Leeway::Fraction),
    ("SETBIT K 7 1", Leeway::None),
    ("SETBIT K 100 N", Leeway::None),
    ("SETBIT K N 1", Leeway::None),
    ("GETBIT K N", Leeway::None),
    ("BITCOUNT K", Leeway::Order),
    ("BITCOUNT K 1 -2", Leeway::Order),
    ("BITCOUNT K -3 10 BYTE", Leeway::Order),
    ("BITCOUNT K 5 30 BIT", Leeway::Order),
    ("BITCOUNT K -17 -2 BIT", Leeway::Order),
    ("DEL K", Leeway::None),
    ("DEL K K K", Leeway::None),
    ("UNLINK K", Leeway::None),
    ("EXISTS K", Leeway::None),
    ("EXISTS K K K", Leeway::None),
    ("TOUCH K K", Leeway::None),
    ("TYPE K", Leeway::None),
    ("EXPIRE K S E", Leeway::None),
    ("PEXPIRE K M E", Leeway::None),
    ("EXPIREAT K 6000000000 E", Leeway::None),
    ("PEXPIREAT K 6000000000001 E", Leeway::None),
    ("EXPIRE K L", Leeway::None),
    ("TTL K", Leeway::Time(60.0)),
    ("PTTL K", Leeway::Time(60_000.0)),
    ("EXPIRETIME K", Leeway::Time(60.0)),
    ("PEXPIRETIME K", Leeway::Time(60_000.0)),
    ("PERSIST K", Leeway::None),
    ("RENAME K K", Leeway::None),
    ("RENAMENX K K", Leeway::None),
    ("COPY K K C", Leeway::None),
    ("PING", Leeway::None),
    ("PING V", Leeway::None),
    ("ECHO V", Leeway::None),
    ("SELECT N", Leeway::None),
    ("NOSUCH V V", Leeway::None),
    ("CLIENT NOSUCH", Leeway::None),
    ("OBJECT REFCOUNT", Leeway::None),
    ("DBSIZE", Leeway::Time(0.0)),
    ("RESET x", Leeway::None),
];
