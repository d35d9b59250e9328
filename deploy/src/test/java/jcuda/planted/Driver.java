package jcuda.planted;

/** Stands for JCuda in the planted offenders. */
public final class Driver {}
