# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The way of rows through compiled models: the twins are in stream.models.grove and stream.models.binned."""

from libc.stdint cimport int32_t, int64_t


def leaves(
    const double[:, ::1] x,
    const int32_t[::1] feature,
    const double[::1] threshold,
    const int32_t[::1] child,
    const int32_t[::1] roots,
    int64_t[:, ::1] found,
):
    """Find the leaf that each row comes to in each tree: stream.models.grove.Grove.leaves; (trees, n)."""
    cdef Py_ssize_t n, tree
    cdef int32_t node
    cdef const double* row
    for tree in range(roots.shape[0]):
        for n in range(x.shape[0]):
            row = &x[n, 0]
            node = roots[tree]
            while feature[node] >= 0:
                # What is no number goes to the second child.
                node = child[node] + (not row[feature[node]] <= threshold[node])
            found[tree, n] = node


def sums(
    const double[:, ::1] x,
    const int32_t[::1] feature,
    const double[::1] threshold,
    const int32_t[::1] child,
    const int32_t[::1] roots,
    const double[::1] value,
    const double[::1] weight,
    double[::1] summed,
):
    """Sum up the values of the leaves that each row comes to: stream.models.grove.Grove.sums; (n,)."""
    cdef Py_ssize_t n, tree
    cdef int32_t node
    cdef const double* row
    cdef double total
    for n in range(x.shape[0]):
        row = &x[n, 0]
        total = 0.0
        for tree in range(roots.shape[0]):
            node = roots[tree]
            while feature[node] >= 0:
                node = child[node] + (not row[feature[node]] <= threshold[node])
            total += weight[tree] * value[node]
        summed[n] = total


def pushes(
    const double[:, ::1] x,
    const int32_t[::1] feature,
    const double[::1] threshold,
    const int32_t[::1] child,
    const int32_t[::1] roots,
    int depth,
    const double[::1] value,
    const double[::1] weight,
    int32_t[::1] nodes,
    double[:, ::1] pushed,
):
    """Say by how much each feature's splits change what is expected: stream.models.grove.Grove.pushes."""
    cdef Py_ssize_t n, tree, level
    cdef int32_t node, lower
    cdef const double* row
    for n in range(x.shape[0]):
        row = &x[n, 0]
        nodes[:] = roots
        # Level by level, as numpy adds them up.
        for level in range(depth):
            for tree in range(roots.shape[0]):
                node = nodes[tree]
                if feature[node] < 0:
                    continue
                lower = child[node] + (not row[feature[node]] <= threshold[node])
                pushed[n, feature[node]] += weight[tree] * (value[lower] - value[node])
                nodes[tree] = lower


def add_weights(
    const double[:, ::1] x,
    const double[::1] edges,
    const int64_t[::1] edge_start,
    const int64_t[::1] start,
    const double[::1] weight,
    const int32_t[::1] first,
    const int32_t[::1] second,
    const int64_t[::1] width,
    const int64_t[::1] cross_start,
    const double[::1] cross_weight,
    double intercept,
    int64_t[::1] placed,
    double[::1] log_odds,
):
    """Sum up the weights of each row's bins and cells: stream.models.binned.Binned.predict; (n,)."""
    cdef Py_ssize_t n, column, cross
    cdef Py_ssize_t columns = x.shape[1], crosses = first.shape[0]
    cdef int64_t low, size, half
    cdef double value, total
    if edge_start.shape[0] != columns + 1 or placed.shape[0] < columns:
        raise ValueError("the matrix has more or fewer columns than the model")
    for n in range(x.shape[0]):
        total = intercept
        for column in range(columns):
            value = x[n, column]
            if value != value:
                placed[column] = 0
            else:
                low = edge_start[column]
                size = edge_start[column + 1] - low
                while size > 0:
                    half = size >> 1
                    if edges[low + half] < value:
                        low += half + 1
                        size -= half + 1
                    else:
                        size = half
                placed[column] = 1 + low - edge_start[column]
            total += weight[start[column] + placed[column]]
        for cross in range(crosses):
            total += cross_weight[
                cross_start[cross] + placed[first[cross]] * width[cross] + placed[second[cross]]
            ]
        log_odds[n] = total
