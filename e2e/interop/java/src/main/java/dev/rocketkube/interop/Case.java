package dev.rocketkube.interop;

/** One thing a user does with the official client, and what must come of it. */
record Case(String name, Steps steps) {
    /** Throws whatever makes the case fail. */
    @FunctionalInterface
    interface Steps {
        void run(Session session) throws Exception;
    }
}
