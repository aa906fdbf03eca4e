//! What `COMMAND INFO` says for clients that route by themselves: how a command is spread over nodes, and what it does with its
//! keys. As Redis 7.0 has it.

/// How it is sent to several nodes, how their answers become one, and what of an answer is left to chance. By the full name.
pub(super) fn tips(name: &str) -> &'static [&'static str] {
    match name {
        "mget" => &["request_policy:multi_shard"],
        "mset" => &["request_policy:multi_shard", "response_policy:all_succeeded"],
        "msetnx" => &["request_policy:multi_shard", "response_policy:agg_min"],
        "del" | "unlink" | "exists" | "touch" => &["request_policy:multi_shard", "response_policy:agg_sum"],
        "scan" => &["nondeterministic_output", "request_policy:special"],
        "keys" => &["request_policy:all_shards", "nondeterministic_output_order"],
        "randomkey" => &["request_policy:all_shards", "nondeterministic_output"],
        "dbsize" => &["request_policy:all_shards", "response_policy:agg_sum"],
        "flushdb" | "flushall" | "function|flush" | "ping" => {
            &["request_policy:all_shards", "response_policy:all_succeeded"]
        }
        "info" => &["nondeterministic_output", "request_policy:all_shards", "response_policy:special"],
        "config|set" | "slowlog|reset" => &["request_policy:all_nodes", "response_policy:all_succeeded"],
        "slowlog|get" => &["request_policy:all_nodes", "nondeterministic_output"],
        "slowlog|len" => &["request_policy:all_nodes", "response_policy:agg_sum", "nondeterministic_output"],
        "ttl"
        | "pttl"
        | "time"
        | "client|info"
        | "client|list"
        | "object|encoding"
        | "object|refcount"
        | "cluster|info"
        | "cluster|slots"
        | "cluster|shards"
        | "cluster|nodes"
        | "cluster|links"
        | "cluster|getkeysinslot" => &["nondeterministic_output"],
        "function|list" | "command" | "command|docs" | "command|info" | "command|list" => {
            &["nondeterministic_output_order"]
        }
        _ => &[],
    }
}

/// What it does with its keys; two where the first key and the second are treated differently.
pub(super) fn key_flags(name: &str) -> &'static [&'static [&'static str]] {
    match name {
        "get" | "mget" | "getrange" | "substr" | "getbit" | "bitcount" | "ttl" | "pttl" | "expiretime"
        | "pexpiretime" => &[&["RO", "access"]],
        "set" => &[&["RW", "access", "update", "variable_flags"]],
        "getset" | "getex" | "incr" | "decr" | "incrby" | "decrby" | "incrbyfloat" | "setbit" => {
            &[&["RW", "access", "update"]]
        }
        "setnx" | "msetnx" => &[&["OW", "insert"]],
        "setex" | "psetex" | "mset" => &[&["OW", "update"]],
        "getdel" => &[&["RW", "access", "delete"]],
        "append" => &[&["RW", "insert"]],
        "setrange" | "expire" | "pexpire" | "expireat" | "pexpireat" | "persist" => &[&["RW", "update"]],
        "del" | "unlink" => &[&["RM", "delete"]],
        "rename" => &[&["RW", "access", "delete"], &["OW", "update"]],
        "renamenx" => &[&["RW", "access", "delete"], &["OW", "insert"]],
        "copy" => &[&["RO", "access"], &["OW", "update"]],
        // EXISTS, TOUCH, STRLEN, TYPE, OBJECT, MEMORY USAGE, WATCH: nothing of the value itself comes back.
        _ => &[&["RO"]],
    }
}
