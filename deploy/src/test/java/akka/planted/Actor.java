package akka.planted;

/** Stands for Akka in the planted offenders. */
public final class Actor {}
