// SPDX-License-Identifier: Apache-2.0
package com.shop;

/** An answer: the name of the provider. */
public class Resp implements java.io.Serializable {
    private static final long serialVersionUID = 1L;
    public String by;

    public Resp() {}

    public Resp(String by) {
        this.by = by;
    }
}
