//! How much memory there is, and in which pages.

use std::fs;
use std::mem::MaybeUninit;

use crate::Error;

const MIB: usize = 1 << 20;

/// Asks for huge pages, 2 MiB where others have 4 KiB, for room that nothing has been written to yet: kernels read dozens of
/// lines at a time, which lie on as many pages, more than the processor knows the places of. Where the system has none to give,
/// all stays as it is.
pub fn ask_for_huge_pages<T>(room: &mut [MaybeUninit<T>]) {
    #[cfg(target_os = "linux")]
    {
        const HUGE: usize = 2 * MIB;
        let start = room.as_mut_ptr().cast::<u8>();
        // Only whole huge pages can become one.
        let offset = start.align_offset(HUGE);
        let len = size_of_val(room).saturating_sub(offset) / HUGE * HUGE;
        if len > 0 {
            // SAFETY: this part of `room` is whole pages, and advice changes nothing that they hold. A refusal changes nothing either.
            unsafe { libc::madvise(start.add(offset).cast(), len, libc::MADV_HUGEPAGE) };
        }
    }
}

/// Refuses what would not fit.
///
/// # Errors
/// [`Error::Memory`] if `needed` bytes are more than are available. Where that cannot be known, all is well.
pub fn check(model: &str, (width, height): (usize, usize), needed: usize) -> Result<(), Error> {
    match available() {
        Some(available) if needed > available => Err(Error::Memory {
            model: model.to_owned(),
            width,
            height,
            needed_mib: needed.div_ceil(MIB),
            available_mib: available / MIB,
        }),
        _ => Ok(()),
    }
}

/// Bytes that this process may still take: what the kernel says is available, or what its control group has left.
fn available() -> Option<usize> {
    let system = fs::read_to_string("/proc/meminfo").ok().and_then(|text| meminfo(&text));
    let read = |name: &str| fs::read_to_string(format!("/sys/fs/cgroup/{name}")).ok();
    let number = |name: &str| read(name)?.trim().parse::<usize>().ok();
    // `memory.max` is a number only where there is a limit.
    let left = number("memory.max").zip(number("memory.current"));
    let group =
        left.map(|(max, used)| max.saturating_sub(used) + read("memory.stat").map_or(0, |text| file_cache(&text)));
    [system, group].into_iter().flatten().min()
}

/// Of what a control group uses, the files that the kernel keeps in memory as long as nothing else wants it.
fn file_cache(stat: &str) -> usize {
    let parts = ["inactive_file ", "active_file "];
    let bytes = |line: &str| parts.iter().find_map(|name| line.strip_prefix(name))?.trim().parse::<usize>().ok();
    stat.lines().filter_map(bytes).sum()
}

fn meminfo(text: &str) -> Option<usize> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<usize>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn meminfo_is_read_in_kib() {
        assert_eq!(meminfo("MemTotal:  100 kB\nMemAvailable:   24105 kB\n"), Some(24105 * 1024));
        assert_eq!(meminfo("MemTotal:  100 kB\n"), None);
    }

    #[test]
    fn cached_files_are_not_in_the_way() {
        let stat = "anon 7\nfile 100\nshmem 5\ninactive_anon 9\ninactive_file 60\nactive_file 35\nslab 11\n";
        assert_eq!(file_cache(stat), 95);
    }

    #[test]
    fn too_much_is_refused_with_the_amounts() {
        assert!(check("m", (1, 1), 1).is_ok());
        if available().is_some() {
            let text = check("dlsn", (640, 360), usize::MAX / 2).unwrap_err().to_string();
            assert!(text.contains("dlsn") && text.contains("640x360") && text.contains("MiB"), "{text}");
        }
    }
}
