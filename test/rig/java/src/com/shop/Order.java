// SPDX-License-Identifier: Apache-2.0
package com.shop;

/** The service that all peers of the tests offer. */
public interface Order {
    Resp get(Req r);
}
