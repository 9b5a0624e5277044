//! Which partition a key belongs to.

/// The partition of a key: FNV-1a with 64 bits, mixed by the last steps of MurmurHash3. It must
/// stay the same in all versions: nodes of different versions share the work.
pub(super) fn partition_of(key: &str, partitions: u32) -> u32 {
    let mut hash = key.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    for factor in [0xff51_afd7_ed55_8ccd_u64, 0xc4ce_b9fe_1a85_ec53] {
        hash = (hash ^ (hash >> 33)).wrapping_mul(factor);
    }
    hash ^= hash >> 33;
    u32::try_from((u128::from(hash) * u128::from(partitions.max(1))) >> 64).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_spread_evenly_and_stay_where_they_are() {
        for partitions in [1, 2, 3, 8] {
            let mut counts = vec![0_u32; partitions as usize];
            for key in 0..8_000 {
                counts[partition_of(&format!("account-{key}"), partitions) as usize] += 1;
            }
            let fair = 8_000 / partitions;
            let even = counts.iter().all(|count| count.abs_diff(fair) < fair / 5);
            assert!(even, "{counts:?}");
        }
        let known = ["account-1", "account-2", "", "🦀"].map(|key| partition_of(key, 8));
        assert_eq!(known, KNOWN);
    }

    /// They must never change. Worked out by another implementation too.
    const KNOWN: [u32; 4] = [2, 0, 7, 4];
}
