/* The smallest kernel: run in a child process to find out whether a driver compiles, links and runs at all. */
__kernel void trial(__global int *x) { x[get_global_id(0)] = 42; }
