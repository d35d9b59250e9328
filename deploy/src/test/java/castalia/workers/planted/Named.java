package castalia.workers.planted;

/** A class of workers for others to use wrongly. */
public final class Named {}
