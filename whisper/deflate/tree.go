package deflate

import "slices"

// codeLengths returns the bits of each symbol's code, 0 for one that does not occur, and the last
// symbol that has a code: Huffman's code, of at most limit bits. Which of the codes of equal cost it
// is decides what it costs to write it down, so that ties are broken as zlib does (trees.c,
// build_tree and gen_bitlen).
func codeLengths(freq []int, limit int) (length []int, last int) {
	n := len(freq) // inner nodes of the tree are numbered from n on
	t := &tree{weight: append(slices.Clone(freq), make([]int, n)...), depth: make([]int, 2*n)}
	last = -1
	for s, f := range freq {
		if f > 0 {
			t.heap, last = append(t.heap, s), s
		}
	}
	for len(t.heap) < 2 { // a code has two symbols, of which one may not occur
		s := 0
		if last < 2 {
			last++
			s = last
		}
		t.heap, t.weight[s] = append(t.heap, s), 1
	}
	joined, parent := t.join(n)
	return lengthsOf(joined, parent, n, limit), last
}

// tree joins symbols by weight. Its heap has the lightest node first.
type tree struct {
	heap          []int
	weight, depth []int // by node
}

// less orders by weight, and by depth where weights are equal.
func (t *tree) less(a, b int) bool {
	return t.weight[a] < t.weight[b] || t.weight[a] == t.weight[b] && t.depth[a] <= t.depth[b]
}

// down moves the node at i of the heap to where it belongs below.
func (t *tree) down(i int) {
	node := t.heap[i]
	for {
		child := 2*i + 1
		if child >= len(t.heap) {
			break
		}
		if child+1 < len(t.heap) && t.less(t.heap[child+1], t.heap[child]) {
			child++
		}
		if t.less(node, t.heap[child]) {
			break
		}
		t.heap[i] = t.heap[child]
		i = child
	}
	t.heap[i] = node
}

// join joins the two lightest nodes, the first of them numbered node, until one is left. It returns
// the nodes in the order that they were joined in, the root last, and the parent of each.
func (t *tree) join(node int) (joined, parent []int) {
	parent = make([]int, len(t.weight))
	for i := len(t.heap)/2 - 1; i >= 0; i-- {
		t.down(i)
	}
	for ; len(t.heap) >= 2; node++ {
		a, end := t.heap[0], len(t.heap)-1
		t.heap[0], t.heap = t.heap[end], t.heap[:end]
		t.down(0)
		b := t.heap[0]
		joined = append(joined, a, b)
		parent[a], parent[b] = node, node
		t.weight[node] = t.weight[a] + t.weight[b]
		t.depth[node] = max(t.depth[a], t.depth[b]) + 1
		t.heap[0] = node
		t.down(0)
	}
	return append(joined, t.heap[0]), parent
}

// lengthsOf returns the depths of the n symbols, at most limit: where the tree is deeper, symbols
// are moved up and others down, the rarest to the deepest places.
func lengthsOf(joined, parent []int, n, limit int) []int {
	length, count := make([]int, len(parent)), make([]int, limit+1)
	tooDeep := 0
	for _, node := range slices.Backward(joined[:len(joined)-1]) {
		depth := length[parent[node]] + 1
		if depth > limit {
			depth = limit
			tooDeep++
		}
		length[node] = depth
		if node < n {
			count[depth]++
		}
	}
	if tooDeep == 0 {
		return length[:n]
	}
	for ; tooDeep > 0; tooDeep -= 2 {
		depth := limit - 1
		for count[depth] == 0 {
			depth--
		}
		count[depth]--
		count[depth+1] += 2
		count[limit]--
	}
	depth := limit
	for _, node := range joined {
		if node >= n {
			continue
		}
		for count[depth] == 0 {
			depth--
		}
		length[node] = depth
		count[depth]--
	}
	return length[:n]
}
