//! Who runs what: every node works out the same answer from the same records.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use super::partition::Partition;
use super::records::Cluster;

/// The partitions a node should have.
///
/// Each goes to one node that can run it. Whoever has one keeps it, up to a fair share; the rest
/// goes to whoever has least. So when a node joins it gets its share from the others, and when one
/// leaves only what it had changes hands.
pub(super) fn share_of(node: Uuid, cluster: &Cluster) -> BTreeSet<Partition> {
    let mut nodes: Vec<_> =
        cluster.nodes.iter().filter(|node| !node.capabilities.is_empty()).collect();
    nodes.sort_by_key(|node| node.id);
    let mut open = Vec::new();
    for projector in &cluster.consumers {
        for generation in &projector.generations {
            let able = |capabilities: &[super::Capability]| {
                capabilities.iter().any(|capability| {
                    capability.consumer == projector.name
                        && capability.version == generation.version
                        && !(capability.inline && generation.live)
                })
            };
            let able: Vec<Uuid> =
                nodes.iter().filter(|node| able(&node.capabilities)).map(|node| node.id).collect();
            if !able.is_empty() {
                for (partition, record) in projector.partitions(generation) {
                    open.push((partition, record.owner, able.clone()));
                }
            }
        }
    }
    // What few can run comes first, so that it does not come on top of what many can.
    open.sort_by(|(left, _, able), (right, _, others)| {
        able.len().cmp(&others.len()).then_with(|| left.cmp(right))
    });
    let fair = open.len().div_ceil(nodes.len().max(1));
    let mut loads: BTreeMap<Uuid, usize> = nodes.iter().map(|node| (node.id, 0)).collect();
    let mut mine = BTreeSet::new();
    let mut give = |partition: Partition, to: Uuid, loads: &mut BTreeMap<Uuid, usize>| {
        *loads.entry(to).or_default() += 1;
        if to == node {
            mine.insert(partition);
        }
    };
    let mut rest = Vec::new();
    for (partition, owner, able) in open {
        match owner.filter(|owner| able.contains(owner) && loads.get(owner) < Some(&fair)) {
            Some(owner) => give(partition, owner, &mut loads),
            None => rest.push((partition, able)),
        }
    }
    for (partition, able) in rest {
        let least = able.into_iter().min_by_key(|id| (loads.get(id).copied(), *id));
        if let Some(least) = least {
            give(partition, least, &mut loads);
        }
    }
    mine
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Position;
    use crate::names::ConsumerName;
    use crate::projection::Capability;
    use crate::projection::records::{
        ConsumerRecord, GenerationRecord, NodeRecord, PartitionRecord,
    };

    fn capability(name: &str) -> Capability {
        Capability { consumer: ConsumerName::new(name).unwrap(), version: 1, inline: false }
    }

    fn projector(name: &str, partitions: u32) -> ConsumerRecord {
        let partitions = (0..partitions)
            .map(|number| PartitionRecord {
                number,
                position: Position::START,
                owner: None,
                failure: None,
                parked: 0,
                retry_requested: false,
            })
            .collect();
        let live = GenerationRecord { number: 1, version: 1, live: true, intact: true, partitions };
        let name = ConsumerName::new(name).unwrap();
        ConsumerRecord { name, paused: false, generations: vec![live] }
    }

    /// Lets every node take its share, and says how many each has and how many changed hands.
    fn settle(cluster: &mut Cluster) -> (Vec<usize>, usize) {
        let shares: Vec<_> =
            cluster.nodes.iter().map(|node| (node.id, share_of(node.id, cluster))).collect();
        let mut moved = 0;
        for projector in &mut cluster.consumers {
            let name = projector.name.clone();
            for generation in &mut projector.generations {
                for record in &mut generation.partitions {
                    let partition = Partition {
                        consumer: name.clone(),
                        generation: generation.number,
                        number: record.number,
                    };
                    let owners: Vec<_> = shares
                        .iter()
                        .filter(|(_, share)| share.contains(&partition))
                        .map(|(id, _)| *id)
                        .collect();
                    assert_eq!(owners.len(), 1, "{partition} belongs to one node");
                    moved += usize::from(record.owner.is_some_and(|owner| owners != [owner]));
                    record.owner = Some(owners[0]);
                }
            }
        }
        (shares.iter().map(|(_, share)| share.len()).collect(), moved)
    }

    #[test]
    fn ten_spread_over_two_nodes_and_move_to_a_third() {
        let names: Vec<_> = (0..10).map(|n| format!("p{n}")).collect();
        let capabilities: Vec<_> = names.iter().map(|name| capability(name)).collect();
        let node =
            |id: u128| NodeRecord { id: Uuid::from_u128(id), capabilities: capabilities.clone() };
        let mut cluster = Cluster {
            nodes: vec![node(1), node(2)],
            consumers: names.iter().map(|name| projector(name, 1)).collect(),
        };
        assert_eq!(settle(&mut cluster), (vec![5, 5], 0));
        assert_eq!(settle(&mut cluster), (vec![5, 5], 0));
        cluster.nodes.push(node(3));
        let (shares, moved) = settle(&mut cluster);
        assert_eq!((shares, moved), (vec![4, 4, 2], 2));
        cluster.nodes.remove(0);
        let (shares, _) = settle(&mut cluster);
        assert_eq!(shares, [5, 5]);
    }

    #[test]
    fn a_node_gets_only_what_it_can_run_and_nothing_is_left_over() {
        let node = |id: u128, capabilities: &[&str]| NodeRecord {
            id: Uuid::from_u128(id),
            capabilities: capabilities.iter().map(|name| capability(name)).collect(),
        };
        let mut cluster = Cluster {
            nodes: vec![node(1, &["a"]), node(2, &["a", "b"]), node(3, &[])],
            consumers: vec![projector("a", 4), projector("b", 4), projector("c", 4)],
        };
        cluster.consumers.pop();
        let (shares, _) = settle(&mut cluster);
        assert_eq!(shares, [4, 4, 0]);
    }

    #[test]
    fn another_version_and_an_inline_live_generation_are_left_alone() {
        let old = Capability { version: 2, ..capability("a") };
        let inline = Capability { inline: true, ..capability("a") };
        for capabilities in [vec![old], vec![inline]] {
            let node = NodeRecord { id: Uuid::from_u128(1), capabilities };
            let cluster = Cluster { nodes: vec![node], consumers: vec![projector("a", 2)] };
            assert!(share_of(Uuid::from_u128(1), &cluster).is_empty());
        }
    }
}
