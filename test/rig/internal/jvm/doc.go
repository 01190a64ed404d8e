// SPDX-License-Identifier: Apache-2.0

// Package jvm resolves servers that are published as jars, for the rigs: Maven
// finds the class path.
package jvm
