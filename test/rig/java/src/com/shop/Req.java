// SPDX-License-Identifier: Apache-2.0
package com.shop;

/** A request: the id of the call and how long the handler works, in ms. */
public class Req implements java.io.Serializable {
    private static final long serialVersionUID = 1L;
    public String id;
    public int work;

    public Req() {}

    public Req(String id, int work) {
        this.id = id;
        this.work = work;
    }
}
