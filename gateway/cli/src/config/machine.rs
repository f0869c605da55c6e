//! How much memory the gateway may have: what its control groups allow, or what the machine has.

use std::fs;
use std::path::{Path, PathBuf};

/// Where control groups are, and which ones this process is in.
const CGROUPS: &str = "/sys/fs/cgroup";
const OWN_CGROUPS: &str = "/proc/self/cgroup";
/// Taken where nothing can be found out.
const FALLBACK: usize = 1 << 30;

/// In bytes.
pub(super) fn memory() -> usize {
    let own = fs::read_to_string(OWN_CGROUPS).unwrap_or_default();
    let limits = [limit(Path::new(CGROUPS), &own), physical()];
    limits.into_iter().flatten().min().unwrap_or(FALLBACK)
}

/// The least that a control group with this process in it allows. `own` has a line `NUMBER:CONTROLLERS:PATH` for each hierarchy.
fn limit(mounted: &Path, own: &str) -> Option<usize> {
    let groups = own.lines().filter_map(|line| {
        let (_, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        let (root, file) = match controllers {
            "" => (mounted.to_owned(), "memory.max"),
            _ if controllers.split(',').any(|each| each == "memory") => {
                (mounted.join("memory"), "memory.limit_in_bytes")
            }
            _ => return None,
        };
        least(&root, path, file)
    });
    groups.min()
}

/// Of the group at `path` and of all above it. In a container the path may be the one outside: then the root is the container's own group.
fn least(root: &Path, path: &str, file: &str) -> Option<usize> {
    let group = root.join(path.trim_start_matches('/'));
    let groups: Vec<PathBuf> =
        group.ancestors().take_while(|each| each.starts_with(root)).map(|each| each.join(file)).collect();
    let read = |file: PathBuf| fs::read_to_string(file).ok()?.trim().parse().ok();
    groups.into_iter().filter_map(read).min()
}

fn physical() -> Option<usize> {
    // SAFETY: system calls without pointers.
    let (pages, size) = unsafe { (libc::sysconf(libc::_SC_PHYS_PAGES), libc::sysconf(libc::_SC_PAGESIZE)) };
    usize::try_from(pages).ok()?.checked_mul(usize::try_from(size).ok()?).filter(|bytes| *bytes > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cgroups(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("there is room for a folder");
        for (path, content) in files {
            let file = root.path().join(path);
            fs::create_dir_all(file.parent().expect("a file is in a folder")).expect("the folder is ours");
            fs::write(file, content).expect("the folder is ours");
        }
        root
    }

    #[test]
    fn the_least_limit_of_the_groups_above_the_process_holds() {
        let root = cgroups(&[
            ("a/memory.max", "1000\n"),
            ("a/b/memory.max", "max\n"),
            ("a/b/c/memory.max", "2000\n"),
            ("other/memory.max", "1\n"),
        ]);
        assert_eq!(limit(root.path(), "0::/a/b/c\n"), Some(1000));
        assert_eq!(limit(root.path(), "0::/a/b\n"), Some(1000));
        assert_eq!(limit(root.path(), "0::/elsewhere\n"), None);
    }

    #[test]
    fn the_first_version_of_control_groups_is_known_too() {
        let root = cgroups(&[
            ("memory/docker/x/memory.limit_in_bytes", "3000\n"),
            ("memory/memory.limit_in_bytes", "9223372036854771712\n"),
        ]);
        assert_eq!(limit(root.path(), "12:pids:/x\n5:cpu,memory:/docker/x\n0::/\n"), Some(3000));
        assert_eq!(limit(root.path(), "5:memory:/not/mounted/here\n"), Some(9_223_372_036_854_771_712));
    }

    #[test]
    fn a_container_that_sees_its_own_group_as_the_root_is_within_its_limit() {
        let root = cgroups(&[("memory.max", "4000\n")]);
        assert_eq!(limit(root.path(), "0::/../../kubepods/pod1\n"), Some(4000));
        assert!(memory() > 0);
    }
}
