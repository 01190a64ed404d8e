// SPDX-License-Identifier: Apache-2.0

// Package jvm resolves and runs servers that are published as jars, for the rigs:
// Maven finds the class path, a child process runs it, and the child does not
// outlive the test that started it.
package jvm
