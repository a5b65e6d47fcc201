//! The kernel's buffers of sockets: how large they may be, against what each shard asks for.

use std::fs;

use narrowgate_engine_io::socket::BUFFER_BYTES;

use super::Finding;

const CHECK: &str = "buffers";

pub(super) fn check() -> Finding {
    let limit =
        |name: &str| fs::read_to_string(format!("/proc/sys/net/core/{name}")).ok()?.trim().parse().ok();
    judge(limit("rmem_max"), limit("wmem_max"))
}

/// The limits of receive buffers and send buffers, bytes; `None`: not to be seen.
fn judge(receive: Option<u64>, send: Option<u64>) -> Finding {
    let wanted = BUFFER_BYTES as u64;
    let settings = format!("net.core.rmem_max={wanted} net.core.wmem_max={wanted}");
    let (Some(receive), Some(send)) = (receive, send) else {
        let detail = format!("their limits cannot be seen from here; each shard asks for {wanted} bytes");
        return Finding::watch(
            CHECK,
            detail,
            format!("on the machine around this container: sysctl -w {settings}"),
        );
    };
    if receive.min(send) >= wanted {
        return Finding::well(CHECK, format!("each shard gets the {wanted} bytes that it asks for"));
    }
    let detail = format!(
        "net.core.rmem_max is {receive}, net.core.wmem_max {send}, and each shard asks for {wanted} bytes: \
         when many devices send at once, the kernel drops datagrams"
    );
    Finding::watch(
        CHECK,
        detail,
        format!("sysctl -w {settings}, also in /etc/sysctl.d; then restart the server"),
    )
}

#[cfg(test)]
mod tests {
    use super::{super::State, *};

    #[test]
    fn buffers_that_are_too_small_are_named_with_the_setting() {
        let wanted = BUFFER_BYTES as u64;
        assert_eq!(judge(Some(wanted), Some(wanted)).state, State::Well);
        for (receive, send) in [(212_992, wanted), (wanted, 212_992)] {
            let finding = judge(Some(receive), Some(send));
            assert!(finding.state == State::Watch && finding.detail.contains("212992"), "{finding:?}");
            assert!(finding.advice.unwrap().contains("net.core.rmem_max=8388608"));
        }
        let unknown = judge(None, Some(wanted));
        assert!(unknown.state == State::Watch && unknown.detail.contains("cannot be seen"), "{unknown:?}");
    }
}
