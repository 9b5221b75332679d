// SPDX-License-Identifier: Apache-2.0
//
// Empty: something has to be compiled for its headers to be precompiled.
