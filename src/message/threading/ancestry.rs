//! Who stands above whom, asked while the links change: link-cut trees (Sleator and Tarjan, 1983), log n steps a question on the average, however deep
//! a thread is.
//!
//! Each node is in one splay tree with some of its ancestors and descendants, in the order of their depth.

const NONE: u32 = u32::MAX;

#[derive(Clone, Copy)]
struct Node {
    /// The parent in the splay tree, or, at its top, the node above the whole of it.
    up: u32,
    /// Nodes that are less deep.
    above: u32,
    /// Nodes that are deeper.
    below: u32,
}

/// A forest.
#[derive(Default)]
pub(super) struct Ancestry {
    nodes: Vec<Node>,
}

impl Ancestry {
    /// Adds a node that stands alone. They are numbered from 0.
    pub(super) fn push(&mut self) {
        self.nodes.push(Node { up: NONE, above: NONE, below: NONE });
    }

    /// The node that has nothing above it and is, or stands above, this one.
    pub(super) fn top(&mut self, node: u32) -> u32 {
        self.access(node);
        let mut top = node;
        while self.at(top).above != NONE {
            top = self.at(top).above;
        }
        self.splay(top);
        top
    }

    /// Puts a tree, named by its top, below a node of another tree.
    pub(super) fn link(&mut self, top: u32, parent: u32) {
        self.access(top);
        self.nodes[top as usize].up = parent;
    }

    /// Takes a node with all below it from what stands above it.
    pub(super) fn cut(&mut self, node: u32) {
        self.access(node);
        let above = self.at(node).above;
        if above != NONE {
            self.nodes[above as usize].up = NONE;
            self.nodes[node as usize].above = NONE;
        }
    }

    fn at(&self, node: u32) -> Node {
        self.nodes[node as usize]
    }

    fn is_splay_top(&self, node: u32) -> bool {
        let up = self.at(node).up;
        up == NONE || (self.at(up).above != node && self.at(up).below != node)
    }

    /// Makes the way from the top down to `node` one splay tree with `node` at its top.
    fn access(&mut self, node: u32) {
        let (mut at, mut deeper) = (node, NONE);
        while at != NONE {
            self.splay(at);
            self.nodes[at as usize].below = deeper;
            deeper = at;
            at = self.at(at).up;
        }
        self.splay(node);
    }

    fn splay(&mut self, node: u32) {
        while !self.is_splay_top(node) {
            let up = self.at(node).up;
            if !self.is_splay_top(up) {
                let over = self.at(up).up;
                let straight = (self.at(up).above == node) == (self.at(over).above == up);
                self.rotate(if straight { up } else { node });
            }
            self.rotate(node);
        }
    }

    /// Changes places with the parent in the splay tree.
    fn rotate(&mut self, node: u32) {
        let up = self.at(node).up;
        let over = self.at(up).up;
        if !self.is_splay_top(up) {
            let over = &mut self.nodes[over as usize];
            *(if over.above == up { &mut over.above } else { &mut over.below }) = node;
        }
        let moved = if self.at(up).above == node {
            let moved = std::mem::replace(&mut self.nodes[node as usize].below, up);
            self.nodes[up as usize].above = moved;
            moved
        } else {
            let moved = std::mem::replace(&mut self.nodes[node as usize].above, up);
            self.nodes[up as usize].below = moved;
            moved
        };
        if moved != NONE {
            self.nodes[moved as usize].up = up;
        }
        self.nodes[up as usize].up = node;
        self.nodes[node as usize].up = over;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Against parents that are followed one by one.
        #[test]
        fn as_if_one_walked_up(changes in proptest::collection::vec((0u32..12, 0u32..13), 0..200)) {
            let mut forest = Ancestry::default();
            (0..12).for_each(|_| forest.push());
            let mut parents = [None; 12];
            let top = |parents: &[Option<u32>; 12], mut node: u32| {
                while let Some(up) = parents[node as usize] {
                    node = up;
                }
                node
            };
            for (child, parent) in changes {
                forest.cut(child);
                parents[child as usize] = None;
                if parent < 12 && top(&parents, parent) != child {
                    forest.link(child, parent);
                    parents[child as usize] = Some(parent);
                }
                for node in 0..12 {
                    prop_assert_eq!(forest.top(node), top(&parents, node));
                }
            }
        }
    }

    #[test]
    fn a_long_chain_is_no_trouble() {
        let mut forest = Ancestry::default();
        let count = 50_000;
        (0..count).for_each(|_| forest.push());
        (1..count).for_each(|node| forest.link(node, node - 1));
        (0..count).rev().for_each(|node| assert_eq!(forest.top(node), 0));
        forest.cut(count / 2);
        assert_eq!((forest.top(count - 1), forest.top(count / 2 - 1)), (count / 2, 0));
    }
}
