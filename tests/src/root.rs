//! What only root may do: mount file systems, and start processes of other users.

/// Set to `1`, it lets tests that need root pass without having run.
const MAY_SKIP: &str = "HUBGATE_SKIP_ROOT";

/// Whether this is root. Where it is not, the test fails, unless [`MAY_SKIP`] lets it be over.
pub fn is_at_hand() -> bool {
    // SAFETY: it only asks.
    let is_root = unsafe { libc::geteuid() } == 0;
    if !is_root {
        let may_skip = std::env::var(MAY_SKIP).is_ok_and(|value| value == "1");
        assert!(may_skip, "the test mounts file systems: run it as root, or set {MAY_SKIP}=1 to go without it");
        println!("{MAY_SKIP} is set: nothing is run here, as this is not root");
    }
    is_root
}
